"""From HTTP and JSON to the rpcs of the contracts and back, compiled once from their descriptors."""
