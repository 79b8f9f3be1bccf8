"""Queues: the port, its adapters, and the loop that works them."""
