"""Orders of users: checked, reserved, confirmed, paid, shipped, received, cancelled, refunded."""
