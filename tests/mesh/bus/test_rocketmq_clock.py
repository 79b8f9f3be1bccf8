"""The clock of a deployment: Redis's, whatever a process's own says."""

from __future__ import annotations

import time

import pytest
from redis.asyncio import Redis

from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq.clock import ASK_SECONDS, SharedClock
from mesh.loopback import LOOPBACK, free_port

AN_HOUR_NS = 3_600_000_000_000


async def redis_ms(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return float(seconds * 1000 + microseconds / 1000)


async def test_it_is_the_time_of_redis_where_the_own_clock_is_an_hour_off(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() + AN_HOUR_NS)
    monkeypatch.setattr(time, "time", lambda: (right() + AN_HOUR_NS) / 1e9)
    clock = SharedClock(redis)
    before = await redis_ms(redis)
    told = await clock.now_ms()
    assert before - 1000 <= told <= await redis_ms(redis) + 1000


class CountingRedis:
    """Tells one time, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def time(self) -> tuple[int, int]:
        self.asked += 1
        return 1_700_000_000, 500_000


async def test_redis_is_asked_again_only_when_that_is_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    redis = CountingRedis()
    clock = SharedClock(redis)  # type: ignore[arg-type]  # all that is asked of it is the time
    assert await clock.now_ms() == 1_700_000_000_500
    now[0] += ASK_SECONDS
    assert await clock.now_ms() == 1_700_000_000_500 + ASK_SECONDS * 1000
    assert redis.asked == 1
    now[0] += 1
    assert await clock.now_ms() == 1_700_000_000_500
    assert redis.asked == 2


async def test_the_bus_is_away_when_redis_cannot_be_asked() -> None:
    redis = Redis(host=LOOPBACK, port=free_port())
    with pytest.raises(BusUnavailableError):
        await SharedClock(redis).now_ms()
    await redis.aclose()
