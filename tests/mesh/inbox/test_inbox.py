from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import structlog
from prometheus_client import REGISTRY

from mesh.errors import DomainError
from mesh.inbox import Inbox, InboxConsumer, InboxDepth, InboxItem, InboxOptions, InboxOutcome, Requeue
from mesh.inbox import consumer as inbox_consumer
from mesh.inbox.inbox import Claim
from mesh.redis_connection import connect_redis
from mesh.retry import RetryPolicy
from mesh.testing import eventually
from tests.redis_server import start_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

EMPTY = InboxDepth(0, 0)

NEVER_SECONDS = 3600.0
"""Between looks at all lists, where only being woken counts."""


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis, "receipts", shards=4)


@asynccontextmanager
async def running(consumer: InboxConsumer, drain_seconds: float = 5) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(consumer.run(stop, drain_seconds))
    try:
        yield
    finally:
        stop.set()
        await task


class Recorder:
    """A handler that notes what it was given, and answers what it is told, `True` otherwise."""

    def __init__(self, *outcomes: InboxOutcome) -> None:
        self.seen: list[InboxItem] = []
        self._outcomes = list(outcomes)

    async def __call__(self, items: Sequence[InboxItem]) -> Sequence[InboxOutcome]:
        self.seen += items
        return [self._outcomes.pop(0) if self._outcomes else True for _ in items]

    def has_seen(self, count: int) -> bool:
        return len(self.seen) == count

    def bodies(self) -> Counter[bytes]:
        return Counter(item.body for item in self.seen)


class Blocker:
    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.running = 0
        self.running_most = 0

    async def __call__(self, items: Sequence[InboxItem]) -> Sequence[InboxOutcome]:
        self.running += 1
        self.running_most = max(self.running, self.running_most)
        try:
            await self.let_go.wait()
        finally:
            self.running -= 1
        return [True] * len(items)


class LongLeases(Inbox):
    """Its leases outlast any stall of the machine, whatever was asked for; it notes that, and when they are renewed."""

    SECONDS = 3600

    def __init__(self, redis: Redis, name: str, shards: int) -> None:
        super().__init__(redis, name, shards)
        self.asked: set[float] = set()
        self._renewed_at: list[float] = []

    async def claim(self, shard: int, items_max: int, lease_seconds: float) -> Claim | None:
        self.asked.add(lease_seconds)
        return await super().claim(shard, items_max, self.SECONDS)

    async def renew(self, claim: Claim, lease_seconds: float) -> bool:
        self.asked.add(lease_seconds)
        self._renewed_at.append(time.monotonic())
        return await super().renew(claim, self.SECONDS)

    def seconds_between_renewals_least(self) -> float:
        return min((later - earlier for earlier, later in pairwise(self._renewed_at)), default=0)


async def is_empty(inbox: Inbox) -> bool:
    return await inbox.depth() == EMPTY


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class TestPush:
    async def test_spreads_items_over_the_lists(self, inbox: Inbox, redis: Redis) -> None:
        for number in range(200):
            await inbox.push(str(number).encode())
        lengths = [await redis.llen(f"{{inbox:receipts:{shard}}}:items") for shard in range(4)]
        assert sum(lengths) == 200
        assert min(lengths) > 10
        assert await inbox.depth() == InboxDepth(waiting=200, later=0)

    async def test_a_full_list_takes_all_or_nothing(self, redis: Redis) -> None:
        inbox = Inbox(redis, "small", shards=1, length_max=5)
        await inbox.push(b"1", b"2", b"3")
        with pytest.raises(DomainError, match="OVERLOADED: inbox small is full") as refusal:
            await inbox.push(b"4", b"5", b"6")
        assert refusal.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await inbox.push(b"4", b"5")
        assert await inbox.depth() == InboxDepth(waiting=5, later=0)

    async def test_items_to_come_again_count_towards_full(self, redis: Redis) -> None:
        inbox = Inbox(redis, "small", shards=1, length_max=1)
        await inbox.push(b"1")
        claim = await inbox.claim(0, 10, 30)
        assert claim is not None
        assert await inbox.settle(claim, [(60.0, claim.items[0].again())])
        assert await inbox.depth() == InboxDepth(waiting=0, later=1)
        with pytest.raises(DomainError, match="OVERLOADED"):
            await inbox.push(b"2")

    async def test_says_that_redis_is_away(self, tmp_path: Path) -> None:
        server = await start_redis(tmp_path)
        client = connect_redis(server.url, "tests")
        await server.stop()
        with pytest.raises(DomainError, match="INBOX_UNAVAILABLE") as refusal:
            await Inbox(client, "receipts", shards=4).push(b"1")
        assert refusal.value.code is grpc.StatusCode.UNAVAILABLE
        await client.aclose()

    async def test_a_full_memory_refuses_pushes_but_can_be_worked_off(self, inbox: Inbox, redis: Redis) -> None:
        await inbox.push(b"1")
        await redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(DomainError, match="INBOX_UNAVAILABLE"):
                await inbox.push(b"2")
            async with running(InboxConsumer(inbox, Recorder())):
                await eventually(partial(is_empty, inbox))
        finally:
            await redis.config_set("maxmemory", 0)


class TestItem:
    def test_survives_being_written(self) -> None:
        item = InboxItem.new(bytes(range(256))).again()
        assert InboxItem.decode(item.encode()) == item
        assert item.attempt == 2

    def test_a_format_of_the_future_is_refused(self) -> None:
        with pytest.raises(ValueError, match="version 9"):
            InboxItem.decode(b"\x09" + InboxItem.new(b"x").encode()[1:])


class TestLease:
    async def test_one_at_a_time_holds_a_list(self, redis: Redis) -> None:
        inbox = Inbox(redis, "one", shards=1)
        await inbox.push(b"1", b"2", b"3")
        first = await inbox.claim(0, 2, 30)
        assert first is not None
        assert [item.body for item in first.items] == [b"1", b"2"]
        assert await inbox.claim(0, 2, 30) is None
        assert await inbox.settle(first, [])
        second = await inbox.claim(0, 2, 30)
        assert second is not None
        assert [item.body for item in second.items] == [b"3"]

    async def test_an_empty_list_is_not_held(self, inbox: Inbox, redis: Redis) -> None:
        assert await inbox.claim(0, 1, 30) is None
        assert await redis.keys("*") == []

    async def test_whoever_lost_the_lease_changes_nothing(self, redis: Redis) -> None:
        inbox = Inbox(redis, "one", shards=1)
        await inbox.push(b"1", b"2")
        late = await inbox.claim(0, 1, 0.05)
        assert late is not None
        holder = await eventually(lambda: inbox.claim(0, 2, 30))
        assert [item.body for item in holder.items] == [b"1", b"2"]
        assert not await inbox.renew(late, 30)
        assert not await inbox.settle(late, [(0, late.items[0].again())])
        assert await inbox.depth() == InboxDepth(waiting=2, later=0)
        assert await inbox.renew(holder, 30)
        assert await inbox.settle(holder, [])
        assert await inbox.depth() == EMPTY

    async def test_a_flush_voids_the_lease(self, redis: Redis) -> None:
        inbox = Inbox(redis, "one", shards=1)
        await inbox.push(b"1")
        claim = await inbox.claim(0, 1, 30)
        assert claim is not None
        await redis.flushall()
        await inbox.push(b"2")
        assert not await inbox.settle(claim, [])
        assert await inbox.depth() == InboxDepth(waiting=1, later=0)


class TestConsumer:
    async def test_handles_everything_once(self, inbox: Inbox) -> None:
        recorder = Recorder()
        async with running(InboxConsumer(inbox, recorder, InboxOptions(batch_max=7))):
            for number in range(300):
                await inbox.push(str(number).encode(), b"same")
            await eventually(partial(is_empty, inbox))
        assert recorder.bodies() == Counter({str(number).encode(): 1 for number in range(300)} | {b"same": 300})
        assert {item.attempt for item in recorder.seen} == {1}

    async def test_wakes_at_once(self, inbox: Inbox, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inbox_consumer, "LOOK_SECONDS", NEVER_SECONDS)
        recorder = Recorder()
        async with running(InboxConsumer(inbox, recorder)):
            await eventually(partial(_has_subscriber, redis, inbox.wake_channel))
            for number in range(200):
                await inbox.push(b"x")
                await eventually(partial(recorder.has_seen, number + 1), every_seconds=0)
                await asyncio.sleep(number % 20 / 10_000)

    async def test_a_wake_up_while_the_list_is_found_empty_counts(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class PushedTo(Inbox):
            """Gets an item just after it was found empty, before its consumer knows that it was."""

            has_pushed = False

            async def claim(self, shard: int, items_max: int, lease_seconds: float) -> Claim | None:
                claim = await super().claim(shard, items_max, lease_seconds)
                if claim is None and not self.has_pushed:
                    await eventually(partial(_has_subscriber, redis, self.wake_channel))
                    consumer._to_look_at.clear()
                    await self.push(b"x")
                    await eventually(lambda: consumer._to_look_at)
                    self.has_pushed = True
                return claim

        monkeypatch.setattr(inbox_consumer, "LOOK_SECONDS", NEVER_SECONDS)
        recorder = Recorder()
        consumer = InboxConsumer(PushedTo(redis, "one", shards=1), recorder)
        async with running(consumer):
            await eventually(partial(recorder.has_seen, 1))

    async def test_a_lost_wake_up_delays_by_a_second_at_most(self, inbox: Inbox, redis: Redis) -> None:
        recorder = Recorder()
        async with running(InboxConsumer(inbox, recorder)):
            await eventually(partial(_has_subscriber, redis, inbox.wake_channel))
            started = time.monotonic()
            await redis.rpush("{inbox:receipts:2}:items", InboxItem.new(b"silent").encode())
            await eventually(partial(recorder.has_seen, 1))
            assert time.monotonic() - started < 5

    async def test_an_idle_consumer_asks_little(self, inbox: Inbox, redis: Redis) -> None:
        async with running(InboxConsumer(inbox, Recorder())):
            await eventually(partial(_has_subscriber, redis, inbox.wake_channel))
            await asyncio.sleep(0.2)
            await redis.config_resetstat()
            await asyncio.sleep(1.2)
            commands = await redis.info("commandstats")
            assert commands["cmdstat_evalsha"]["calls"] <= 2 * inbox.shards

    async def test_failed_items_come_again_with_a_higher_attempt(self, inbox: Inbox) -> None:
        recorder = Recorder(True, False, Requeue("not yet", after_seconds=0.1))
        policy = RetryPolicy(first_delay_seconds=0.01, delay_seconds_max=0.01)
        inbox = Inbox(inbox.redis, "one", shards=1)
        await inbox.push(b"done", b"false", b"requeue")
        async with running(InboxConsumer(inbox, recorder, InboxOptions(retry=policy))):
            await eventually(partial(is_empty, inbox))
        assert [(item.body, item.attempt) for item in recorder.seen[:3]] == [
            (b"done", 1),
            (b"false", 1),
            (b"requeue", 1),
        ]
        assert {(item.body, item.attempt) for item in recorder.seen[3:]} == {(b"false", 2), (b"requeue", 2)}
        assert recorder.seen[1].received_at_ms == next(
            item.received_at_ms for item in recorder.seen[3:] if item.body == b"false"
        )

    async def test_twins_that_fail_both_come_again(self, redis: Redis) -> None:
        inbox = Inbox(redis, "one", shards=1)
        recorder = Recorder(*[Requeue("not yet", after_seconds=0.05)] * 3)
        await inbox.push(b"same", b"same", b"same")
        async with running(InboxConsumer(inbox, recorder)):
            await eventually(partial(recorder.has_seen, 6))

    async def test_a_failing_item_neither_spins_nor_is_dropped(self, redis: Redis) -> None:
        inbox = Inbox(redis, "one", shards=1)
        recorder = Recorder(*[False] * 50)
        await inbox.push(b"stubborn")
        async with running(InboxConsumer(inbox, recorder)):
            await asyncio.sleep(0.5)
            assert len(recorder.seen) == 1
        assert await inbox.depth() == InboxDepth(waiting=0, later=1)

    async def test_one_poisonous_item_fails_alone(self, redis: Redis) -> None:
        handled: list[bytes] = []

        async def fail_on_five(items: Sequence[InboxItem]) -> Sequence[InboxOutcome]:
            if any(item.body == b"5" for item in items):
                raise LookupError("no such status")
            handled.extend(item.body for item in items)
            return [True] * len(items)

        inbox = Inbox(redis, "one", shards=1)
        await inbox.push(*(str(number).encode() for number in range(8)))
        with structlog.testing.capture_logs() as logs:
            async with running(InboxConsumer(inbox, fail_on_five)):
                await eventually(lambda: len(handled) == 7)
        assert await inbox.depth() == InboxDepth(waiting=0, later=1)
        told = next(entry for entry in logs if entry["event"] == "items requeued")
        assert told["reason"] == "LookupError: no such status"

    async def test_old_items_raise_an_alarm(self, redis: Redis) -> None:
        inbox = Inbox(redis, "overdue", shards=1)
        recorder = Recorder(Requeue("still no", after_seconds=0))
        await inbox.push(b"old")
        options = InboxOptions(retry=RetryPolicy(alert_age_seconds=-1))
        with structlog.testing.capture_logs() as logs:
            async with running(InboxConsumer(inbox, recorder, options)):
                await eventually(partial(is_empty, inbox))
        assert [entry["log_level"] for entry in logs if entry["event"] == "items overdue"] == ["error"]
        assert sample("brandmesh_inbox_overdue_total", inbox="overdue") == 1
        assert sample("brandmesh_inbox_items_total", inbox="overdue", outcome="requeued") == 1
        assert sample("brandmesh_inbox_items_total", inbox="overdue", outcome="done") == 1

    async def test_consumers_share_the_lists_without_overlap(self, redis_url: str, inbox: Inbox) -> None:
        clients = [connect_redis(redis_url, f"consumer-{number}") for number in range(3)]
        recorders = [Recorder() for _ in clients]
        for number in range(400):
            await inbox.push(str(number).encode())
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for client, recorder in zip(clients, recorders, strict=True):
                consumer = InboxConsumer(Inbox(client, "receipts", 4), recorder, InboxOptions(batch_max=5))
                group.create_task(consumer.run(stop, 5))
            await eventually(partial(is_empty, inbox))
            stop.set()
        assert sum((recorder.bodies() for recorder in recorders), Counter()) == Counter(
            str(number).encode() for number in range(400)
        )
        for client in clients:
            await client.aclose()

    async def test_the_lease_is_held_while_the_handler_runs(self, redis: Redis) -> None:
        lease_seconds, lease_key = 0.3, "{inbox:one:0}:lease"
        inbox = LongLeases(redis, "one", shards=1)
        blocker = Blocker()
        await inbox.push(b"x")
        async with running(InboxConsumer(inbox, blocker, InboxOptions(lease_seconds=lease_seconds))):
            await eventually(lambda: blocker.running)
            for _ in range(3):
                assert await redis.pexpire(lease_key, LongLeases.SECONDS * 1000 // 2)
                await eventually(partial(_lasts_longer, redis, lease_key, LongLeases.SECONDS // 2))
                assert await inbox.claim(0, 1, lease_seconds) is None
            await eventually(lambda: 0 < inbox.seconds_between_renewals_least() < lease_seconds)
            blocker.let_go.set()
            await eventually(partial(is_empty, inbox))
        assert blocker.running_most == 1
        assert inbox.asked == {lease_seconds}

    async def test_a_slow_list_does_not_delay_another(self, inbox: Inbox) -> None:
        blocked = asyncio.Event()
        seen: list[bytes] = []

        async def block_on_slow(items: Sequence[InboxItem]) -> Sequence[InboxOutcome]:
            if items[0].body == b"slow":
                await blocked.wait()
            seen.extend(item.body for item in items)
            return [True] * len(items)

        await inbox.push(b"slow")
        async with running(InboxConsumer(inbox, block_on_slow)):
            for _ in range(60):
                await inbox.push(b"fast")
            await eventually(lambda: len(seen) > 20)
            assert b"slow" not in seen
            blocked.set()
            await eventually(partial(is_empty, inbox))

    async def test_late_handlers_are_cancelled_and_their_items_handled_again(self, redis: Redis) -> None:
        inbox = Inbox(redis, "one", shards=1)
        blocker, recorder = Blocker(), Recorder()
        await inbox.push(b"x")
        async with running(InboxConsumer(inbox, blocker, InboxOptions(lease_seconds=0.5)), drain_seconds=0.1):
            await eventually(lambda: blocker.running)
        assert blocker.running == 0
        async with running(InboxConsumer(inbox, recorder)):
            await eventually(partial(recorder.has_seen, 1))

    async def test_a_killed_consumer_leaves_its_items_to_others(self, redis_url: str, redis: Redis) -> None:
        inbox = Inbox(redis, "one", shards=1)
        recorder = Recorder()
        await inbox.push(b"1", b"2", b"3")
        victim = await asyncio.create_subprocess_exec(
            sys.executable,
            Path(__file__).with_name("inbox_process.py"),
            redis_url,
            "one",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert victim.stdout is not None
        assert await victim.stdout.readline() == b"3\n"
        async with running(InboxConsumer(inbox, recorder)):
            victim.kill()
            await victim.communicate()
            await eventually(partial(is_empty, inbox))
        assert recorder.bodies() == Counter([b"1", b"2", b"3"])

    async def test_goes_on_after_a_restart_and_loses_nothing(self, tmp_path: Path) -> None:
        server = await start_redis(tmp_path)
        client = connect_redis(server.url, "consumer")
        inbox = Inbox(client, "receipts", shards=2)
        handled: set[bytes] = set()

        async def note(items: Sequence[InboxItem]) -> Sequence[InboxOutcome]:
            await asyncio.sleep(0.01)
            handled.update(item.body for item in items)
            return [True] * len(items)

        for number in range(200):
            await inbox.push(str(number).encode())
        with structlog.testing.capture_logs() as logs:
            async with running(InboxConsumer(inbox, note, InboxOptions(batch_max=2, lease_seconds=1))):
                await eventually(lambda: len(handled) > 20)
                await server.kill()
                await eventually(lambda: "away" in {entry["event"] for entry in logs})
                server = await start_redis(tmp_path, server.url)
                await eventually(lambda: len(handled) == 200, 20)
                await eventually(partial(is_empty, inbox))
        assert [entry["event"] for entry in logs].count("away") <= 2
        await client.aclose()
        await server.stop()


async def _has_subscriber(redis: Redis, channel: str) -> bool:
    ((_, count),) = await redis.pubsub_numsub(channel)
    return bool(count)


async def _lasts_longer(redis: Redis, key: str, seconds: int) -> bool:
    return int(await redis.pttl(key)) > seconds * 1000
