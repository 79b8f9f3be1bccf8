"""IM calls: configuration, devices, records, and what became of them."""
