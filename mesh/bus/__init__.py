"""Queues: the port and its adapters."""

import mesh.redis_connection  # noqa: F401  # the first to load redis-py, as it says there
