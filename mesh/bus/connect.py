"""Choosing a bus by its URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from mesh.bus.memory import MemoryBus
from mesh.bus.port import Bus
from mesh.bus.redis_streams import RedisStreamsBus
from mesh.redis_connection import REDIS_SCHEMES, connect_redis

MEMORY_SCHEME = "memory"
BUS_SCHEMES = (*REDIS_SCHEMES, MEMORY_SCHEME)


def connect_bus(bus_url: str, redis_url: str, consumer: str) -> Bus:
    """Make the bus that `bus_url` names, or streams on `redis_url` where it is empty. Nothing is connected yet.

    `redis://`, `rediss://`, `valkey://`, `valkeys://`: streams on that server. `memory://`: a bus of its own for this
    call, for tests in one process. `consumer` is the name under which operators see this process on the server.
    """
    url = bus_url or redis_url
    scheme = urlsplit(url).scheme
    if scheme == MEMORY_SCHEME:
        return MemoryBus()
    if scheme in REDIS_SCHEMES:
        return RedisStreamsBus(connect_redis(url, consumer))
    known = ", ".join(f"{name}://" for name in BUS_SCHEMES)
    raise ValueError(f"BRANDMESH_BUS_URL: {scheme or url!r} is no scheme of a bus URL: use one of {known}")
