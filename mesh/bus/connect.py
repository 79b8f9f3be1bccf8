"""Choosing a bus by its URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from mesh.bus.memory import MemoryBus
from mesh.bus.port import Bus
from mesh.bus.redis_streams import RedisStreamsBus
from mesh.redis_connection import REDIS_SCHEMES, connect_redis

MEMORY_SCHEME = "memory"
ROCKETMQ_SCHEME = "rocketmq"
BUS_SCHEMES = (*REDIS_SCHEMES, MEMORY_SCHEME, ROCKETMQ_SCHEME)


def connect_bus(bus_url: str, redis_url: str, consumer: str) -> Bus:
    """Make the bus that `bus_url` names, or streams on `redis_url` where it is empty. Nothing is connected yet.

    `redis://`, `rediss://`, `valkey://`, `valkeys://`: streams on that server. `memory://`: a bus of its own for this
    call, for tests in one process. `rocketmq://PROXY?namesrv=...`: RocketMQ (see `mesh.bus.rocketmq.deployment`), with
    hints on `redis_url`. `consumer` is the name under which operators see this process on the server.
    """
    url = bus_url or redis_url
    scheme = urlsplit(url).scheme
    if scheme == MEMORY_SCHEME:
        return MemoryBus()
    if scheme in REDIS_SCHEMES:
        return RedisStreamsBus(connect_redis(url, consumer))
    if scheme == ROCKETMQ_SCHEME:
        return _rocketmq(url, redis_url, consumer)
    known = ", ".join(f"{name}://" for name in BUS_SCHEMES)
    raise ValueError(f"BRANDMESH_BUS_URL: {scheme or url!r} is no scheme of a bus URL: use one of {known}")


def _rocketmq(url: str, redis_url: str, consumer: str) -> Bus:
    # Its client is an extra, which those on other engines do not install.
    from mesh.bus.rocketmq.bus import RocketMqBus  # noqa: PLC0415
    from mesh.bus.rocketmq.deployment import Deployment  # noqa: PLC0415

    return RocketMqBus(Deployment.from_url(url), connect_redis(redis_url, consumer), consumer)
