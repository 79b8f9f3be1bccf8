"""Payments of other services: opened at a channel, told of by it, paid back, and compared with its statement."""
