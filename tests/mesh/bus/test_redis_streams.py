from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mesh.bus import ready_queues, redis_streams
from mesh.bus.memory import MemoryBus
from mesh.bus.port import Bus, BusUnavailableError, Delivery, Depth
from mesh.bus.redis_streams import RedisStreamsBus
from mesh.redis_connection import connect_redis
from mesh.testing import eventually
from tests.mesh.bus.conformance import (
    HIDDEN_SECONDS,
    NEVER_SECONDS,
    BusConformance,
    PassSeconds,
    bodies,
    messages,
    receive_one,
)
from tests.redis_server import start_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis


def connect(url: str, buckets: int = 1) -> RedisStreamsBus:
    return RedisStreamsBus(connect_redis(url, "bus"), buckets=buckets, visibility_seconds_min=1)


@pytest_asyncio.fixture
async def bus(redis_url: str, redis: Redis) -> AsyncIterator[RedisStreamsBus]:
    await redis.ping()
    bus = connect(redis_url)
    yield bus
    await bus.close()


class TestRedisStreamsBus(BusConformance):
    @pytest.fixture
    def pass_seconds(self) -> PassSeconds:
        async def pass_seconds(seconds: float) -> None:
            await asyncio.sleep(seconds + 0.01)

        return pass_seconds


async def test_queues_of_all_buckets_are_seen(redis_url: str, redis: Redis) -> None:
    await redis.ping()
    bus = connect(redis_url, buckets=16)
    names = [f"q.{number}" for number in range(50)]
    for name in names:
        await bus.publish(name, messages(name))
    assert await bus.queues("q.") == sorted(names)
    assert await bus.wait_ready(["q."], 5) == set(names)
    await bus.dead(await receive_one(bus, "q.7"), "no use")
    assert await bus.requeue_dead("q.7", 1) == 1
    assert len(await _buckets(redis, "*:q.7*")) == 1
    assert len(await _buckets(redis, "*")) > 1
    await bus.close()


async def test_queues_that_others_leave_lying_hide_none_behind_them(
    bus: RedisStreamsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready_queues, "READY_QUEUES_MAX", 5)
    for number in range(12):
        await bus.publish(f"sms.marketing.{number}", messages("x"))
    for number in range(7):
        await bus.publish(f"sms.verification.{number}", messages("x"))

    def is_code(queue: str) -> bool:
        return queue.startswith("sms.verification.")

    seen: set[str] = set()
    while named := await bus.wait_ready(["sms."], 0, is_code):
        seen |= named
        for queue in named:
            await bus.ack(await bus.receive(queue, 1, 30))
    assert seen == {f"sms.verification.{number}" for number in range(7)}
    assert len(await bus.wait_ready(["sms."], 0)) == 5


async def test_delays_are_kept_closely(bus: RedisStreamsBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_streams, "LOOK_SECONDS_MAX", NEVER_SECONDS)
    await bus.wait_ready(["q"], 0)
    started = time.monotonic()
    await bus.publish("q", messages("x"), delay_seconds=1)
    assert await bus.wait_ready(["q"], 20) == {"q"}
    assert time.monotonic() - started >= 0.99
    await receive_one(bus, "q")


class TestAgainstTheModel:
    """Random calls, answered alike by the streams and by memory."""

    @pytest.mark.parametrize("seed", range(12))
    async def test_agrees_with_memory(self, bus: RedisStreamsBus, seed: int) -> None:
        choose = random.Random(seed)  # noqa: S311  # a seed makes a failure repeatable
        model = MemoryBus()
        held: list[tuple[Delivery, Delivery]] = []
        for step in range(150):
            await self._step(choose, step, bus, model, held)
            real_depth, model_depth = await bus.depth("q"), await model.depth("q")
            assert _counts(real_depth) == _counts(model_depth)

    async def _step(
        self, choose: random.Random, step: int, bus: Bus, model: Bus, held: list[tuple[Delivery, Delivery]]
    ) -> None:
        action = choose.choice(["publish", "receive", "receive", "ack", "nack", "delay", "dead", "requeue"])
        if action == "publish":
            batch = messages(*(f"{step}.{number}" for number in range(choose.randint(1, 4))))
            await asyncio.gather(bus.publish("q", batch), model.publish("q", batch))
        elif action == "receive":
            limit = choose.randint(1, 4)
            real, modelled = await bus.receive("q", limit, 60), await model.receive("q", limit, 60)
            assert _outside(real) == _outside(modelled)
            held += zip(real, modelled, strict=True)
        elif action == "requeue":
            assert await bus.requeue_dead("q", 2) == await model.requeue_dead("q", 2)
        elif held:
            real_one, model_one = choose.choice(held)  # perhaps one that is settled already
            for adapter, delivery in ((bus, real_one), (model, model_one)):
                if action == "ack":
                    await adapter.ack([delivery])
                elif action == "dead":
                    await adapter.dead(delivery, "no use")
                else:
                    await adapter.nack(delivery, 0 if action == "nack" else 600)
        assert _outside(await bus.list_dead("q", 99)) == _outside(await model.list_dead("q", 99))


def _outside(deliveries: list[Delivery]) -> list[tuple[bytes, int]]:
    return [(delivery.body, delivery.attempt) for delivery in deliveries]


def _counts(depth: Depth) -> tuple[int, int, int]:
    return depth.ready, depth.in_flight, depth.delayed


class TestHealing:
    async def test_goes_on_after_flushall(self, bus: RedisStreamsBus, redis: Redis) -> None:
        await bus.publish("q", messages("gone", "gone too"))
        stale = await receive_one(bus, "q")
        await redis.flushall()
        await redis.script_flush()
        await bus.ack([stale])
        await bus.nack(stale, 0)
        await bus.dead(stale, "no use")
        await bus.extend([stale], HIDDEN_SECONDS)
        assert await bus.receive("q", 1, HIDDEN_SECONDS) == []
        await bus.publish("q", messages("new"))
        assert await bus.wait_ready(["q"], 5) == {"q"}
        assert bodies(await bus.receive("q", 10, HIDDEN_SECONDS)) == ["new"]
        assert await bus.queues("") == ["q"]

    async def test_a_waiter_survives_flushall(self, bus: RedisStreamsBus, redis: Redis) -> None:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(bus.wait_ready(["q"], 20))
            await eventually(lambda: _subscribers(redis))
            await redis.flushall()
            await redis.script_flush()
            await bus.publish("q", messages("new"))
            assert await waiting == {"q"}

    async def test_a_lost_group_delivers_its_messages_again(self, bus: RedisStreamsBus, redis: Redis) -> None:
        await bus.publish("q", messages("a", "b"))
        await receive_one(bus, "q", 1)
        await redis.xgroup_destroy("{b00}:stream:q", "workers")
        assert bodies(await bus.receive("q", 10, HIDDEN_SECONDS)) == ["a", "b"]

    async def test_a_lost_wake_up_delays_by_a_second_at_most(self, bus: RedisStreamsBus, redis: Redis) -> None:
        waiting = asyncio.create_task(bus.wait_ready(["q"], 20))
        await eventually(lambda: _subscribers(redis))
        await redis.client_kill_filter(_type="pubsub")
        await eventually(lambda: _no_subscribers(redis))
        started = time.monotonic()
        await bus.publish("q", messages("x"))
        assert await waiting == {"q"}
        assert time.monotonic() - started < 5
        waiting = asyncio.create_task(bus.wait_ready(["r"], 20))
        await eventually(lambda: _subscribers(redis))
        waiting.cancel()

    async def test_works_off_its_queues_when_memory_is_full(self, bus: RedisStreamsBus, redis: Redis) -> None:
        await bus.publish("q", messages("ready"))
        await bus.publish("q", messages("delayed"), delay_seconds=1)
        await redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(BusUnavailableError, match="maxmemory"):
                await bus.publish("q", messages("refused"))
            await bus.ack([await receive_one(bus, "q")])
            (delayed,) = await eventually(lambda: bus.receive("q", 1, HIDDEN_SECONDS))
            await bus.extend([delayed], HIDDEN_SECONDS)
            await bus.nack(delayed, 0)
            assert bodies(await bus.receive("q", 1, HIDDEN_SECONDS)) == ["delayed"]
        finally:
            await redis.config_set("maxmemory", 0)

    async def test_a_killed_consumer_leaves_its_message_to_others(self, bus: RedisStreamsBus, redis_url: str) -> None:
        await bus.publish("q", messages("a"))
        victim = await asyncio.create_subprocess_exec(
            sys.executable, Path(__file__).with_name("consumer_process.py"), redis_url, "q",
            stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert victim.stdout is not None
        message_id = (await victim.stdout.readline()).decode().strip()
        assert await bus.receive("q", 1, HIDDEN_SECONDS) == []
        victim.kill()
        await victim.communicate()
        (again,) = await eventually(lambda: bus.receive("q", 1, HIDDEN_SECONDS))
        assert (again.message_id, again.attempt) == (message_id, 2)


class TestRestart:
    @pytest.mark.parametrize("how", ["stop", "kill"])
    async def test_nothing_is_lost_with_the_server(self, tmp_path: Path, how: str) -> None:
        server = await start_redis(tmp_path)
        bus = connect(server.url)
        await bus.publish("q", messages("done", "flight", "nacked", "dead", "ready"))
        done, _, nacked, dead = await bus.receive("q", 4, 2)
        await bus.ack([done])
        await bus.nack(nacked, 2)
        await bus.dead(dead, "no use")
        await (server.stop() if how == "stop" else server.kill())
        with pytest.raises(BusUnavailableError):
            await bus.publish("q", messages("refused"))
        server = await start_redis(tmp_path, server.url)
        assert _counts(await bus.depth("q"))[2] == 1
        found: dict[str, int] = {}

        async def take() -> bool:
            found.update({one.body.decode(): one.attempt for one in await bus.receive("q", 10, HIDDEN_SECONDS)})
            return len(found) == 3

        await eventually(take)
        assert found == {"ready": 1, "flight": 2, "nacked": 2}
        assert bodies(await bus.list_dead("q", 10)) == ["dead"]
        await bus.close()
        await server.stop()

    async def test_waiting_tells_that_the_server_is_away(self, tmp_path: Path) -> None:
        server = await start_redis(tmp_path)
        bus = connect(server.url)
        assert await bus.wait_ready(["q"], 0) == set()
        await server.kill()
        started = time.monotonic()
        with pytest.raises(BusUnavailableError):
            await bus.wait_ready(["q"], 1)
        assert time.monotonic() - started < 10
        server = await start_redis(tmp_path, server.url)
        await bus.publish("q", messages("x"))
        assert await bus.wait_ready(["q"], 5) == {"q"}
        await bus.close()
        await server.stop()


class TestIdleQueues:
    async def test_ten_thousand_cost_nothing(self, bus: RedisStreamsBus, redis: Redis) -> None:
        count = 10_000
        pipeline = redis.pipeline(transaction=False)
        for number in range(count):
            pipeline.sadd("{b00}:queues", f"idle.{number}")
            pipeline.xgroup_create(f"{{b00}}:stream:idle.{number}", "workers", "0", mkstream=True)
        await pipeline.execute()
        await bus.publish("busy", messages("x"))
        await redis.config_resetstat()
        for _ in range(20):
            assert await bus.wait_ready(["idle."], 0) == set()
        assert await bus.wait_ready(["", "idle."], 0) == {"busy"}
        commands = await redis.info("commandstats")
        assert commands["cmdstat_evalsha"]["calls"] == 21
        assert commands["cmdstat_evalsha"]["usec_per_call"] < 1000
        assert "cmdstat_xreadgroup" not in commands
        assert len(await bus.queues("idle.")) == count

    async def test_a_queue_that_was_worked_off_is_idle(self, bus: RedisStreamsBus, redis: Redis) -> None:
        await bus.publish("q", messages("x"))
        await bus.ack(await bus.receive("q", 10, HIDDEN_SECONDS))
        assert await redis.exists("{b00}:due", "{b00}:hidden:q", "{b00}:delayed:q") == 0
        assert await redis.xlen("{b00}:stream:q") == 0


async def _subscribers(redis: Redis) -> bool:
    ((_, count),) = await redis.pubsub_numsub("bus:wake")
    return bool(count)


async def _no_subscribers(redis: Redis) -> bool:
    return not await _subscribers(redis)


async def _buckets(redis: Redis, pattern: str) -> set[str]:
    return {key.decode().split(":")[0] async for key in redis.scan_iter(pattern)}
