"""Payment channels: where a payment is opened, closed, and told of."""
