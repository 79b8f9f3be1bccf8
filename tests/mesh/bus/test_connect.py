from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.bus.connect import connect_bus
from mesh.bus.memory import MemoryBus
from mesh.bus.port import Message
from mesh.bus.redis_streams import RedisStreamsBus

if TYPE_CHECKING:
    from redis.asyncio import Redis


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
async def test_streams_by_scheme(scheme: str) -> None:
    bus = connect_bus(f"{scheme}://127.0.0.1:1/0", "", "tests")
    assert isinstance(bus, RedisStreamsBus)
    await bus.close()


async def test_memory() -> None:
    assert isinstance(connect_bus("memory://", "redis://127.0.0.1:1/0", "tests"), MemoryBus)


async def test_an_empty_bus_url_means_streams_on_redis(redis_url: str, redis: Redis) -> None:
    bus = connect_bus("", redis_url.replace("redis://", "valkey://"), "sms_rmq-1")
    await bus.publish("q", [Message(b"x")])
    assert "sms_rmq-1" in {client["name"] for client in await redis.client_list()}
    await bus.close()


@pytest.mark.parametrize("url", ["kafka://broker", "127.0.0.1:6379", "rocketmq"])
async def test_an_unknown_scheme_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(
        ValueError, match=r"BRANDMESH_BUS_URL: .* redis://, rediss://, valkey://, valkeys://, memory://, rocketmq://"
    ):
        connect_bus(url, "", "tests")
