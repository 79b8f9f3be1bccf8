"""Queues: the port, its adapters, and the loop that works them."""

import mesh.redis_connection  # noqa: F401  # the first to load redis-py, as it says there
