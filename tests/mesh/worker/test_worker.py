from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import pytest
import pytest_asyncio
import structlog
from opentelemetry import trace
from prometheus_client import REGISTRY

from mesh.bus.port import DEAD_REASON_HEADER, Bus, BusUnavailableError, Delivery, Depth, Message, accept_all
from mesh.bus.redis_streams import RedisStreamsBus
from mesh.errors import DomainError
from mesh.redis_connection import connect_redis
from mesh.testing import eventually
from mesh.worker import Dead, Done, Handler, Outcome, Retry, RetryPolicy, Route, Worker
from mesh.worker import worker as worker_module
from tests.redis_server import start_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

EMPTY = Depth(0, 0, 0, 0)

HIDDEN = "{b00}:hidden:q"
"""Until when each message of the queue "q" that is in flight is hidden, in ms."""


@pytest_asyncio.fixture
async def bus(redis_url: str, redis: Redis) -> AsyncIterator[RedisStreamsBus]:
    await redis.ping()
    bus = RedisStreamsBus(connect_redis(redis_url, "worker"), visibility_seconds_min=1)
    yield bus
    await bus.close()


class Recorder:
    """A handler that notes what it was given, and answers what it is told, `Done` otherwise."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.seen: list[Delivery] = []
        self._outcomes = list(outcomes)

    async def __call__(self, _: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        self.seen += deliveries
        return [self._outcomes.pop(0) if self._outcomes else Done() for _ in deliveries]

    def bodies(self) -> list[str]:
        return [delivery.body.decode() for delivery in self.seen]

    def has_seen(self, count: int) -> bool:
        return len(self.seen) == count

    def attempts(self) -> list[int]:
        return [delivery.attempt for delivery in self.seen]


class Blocker:
    """A handler that waits until it is let go, and knows how many of it ran at once."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.running = 0
        self.running_most = 0
        self.finished = 0

    def is_running(self, times: int) -> bool:
        return self.running == times

    async def __call__(self, _: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        self.running += 1
        self.running_most = max(self.running, self.running_most)
        try:
            await self.let_go.wait()
        finally:
            self.running -= 1
        self.finished += len(deliveries)
        return [Done()] * len(deliveries)


class Losing(RedisStreamsBus):
    """A bus whose first cancellation is lost, as redis-py loses one that comes while it connects."""

    is_waiting = False
    cancellations = 0

    async def wait_ready(
        self, prefixes: Collection[str], timeout_seconds: float, accepts: Callable[[str], bool] = accept_all
    ) -> set[str]:
        self.is_waiting = True
        try:
            return await super().wait_ready(prefixes, timeout_seconds, accepts)
        except asyncio.CancelledError:
            self.cancellations += 1
            if self.cancellations > 1:
                raise
            return set()


class Counting(RedisStreamsBus):
    """A bus that counts how often it was asked for messages."""

    receives = 0

    async def receive(self, queue: str, max_messages: int, visibility_seconds: int) -> list[Delivery]:
        self.receives += 1
        return await super().receive(queue, max_messages, visibility_seconds)


class LongHidden(RedisStreamsBus):
    """Hides messages longer than any stall lasts, whatever was asked for; notes that, and when it hid them anew."""

    SECONDS = 3600

    def __init__(self, redis: Redis, *, visibility_seconds_min: int) -> None:
        super().__init__(redis, visibility_seconds_min=visibility_seconds_min)
        self.asked: set[int] = set()
        self._extended_at: list[float] = []

    async def receive(self, queue: str, max_messages: int, visibility_seconds: int) -> list[Delivery]:
        self.asked.add(visibility_seconds)
        return await super().receive(queue, max_messages, self.SECONDS)

    async def extend(self, deliveries: Sequence[Delivery], visibility_seconds: int) -> None:
        self.asked.add(visibility_seconds)
        self._extended_at.append(time.monotonic())
        await super().extend(deliveries, self.SECONDS)

    def seconds_between_extends_least(self) -> float:
        return min((later - earlier for earlier, later in pairwise(self._extended_at)), default=0)


async def hide_for(redis: Redis, seconds: int) -> int:
    """Change until when the three messages in flight are hidden; answer that, in ms of the server's clock."""
    now_seconds, _ = await redis.time()
    until = (now_seconds + seconds) * 1000
    in_flight = cast("list[bytes]", await redis.zrange(HIDDEN, 0, -1))
    assert await redis.zadd(HIDDEN, dict.fromkeys(in_flight, until), ch=True) == 3
    return until


async def are_hidden_beyond(redis: Redis, until: int) -> bool:
    return await redis.zcount(HIDDEN, f"({until}", "+inf") == 3


@asynccontextmanager
async def running(worker: Worker, drain_seconds: float = 5) -> AsyncIterator[asyncio.Task[None]]:
    """Run a worker, and see it end without an error."""
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop, drain_seconds))
    try:
        yield task
    finally:
        stop.set()
        await task


def route(prefix: str, handler: Handler, **options: object) -> Route:
    return Route(name=prefix.rstrip(".") or "all", prefix=prefix, handler=handler, **options)  # type: ignore[arg-type]  # any option


def numbered(count: int) -> list[Message]:
    return [Message(str(number).encode()) for number in range(count)]


async def settled(bus: Bus, queue: str) -> bool:
    return await bus.depth(queue) == EMPTY


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class TestOutcomes:
    async def test_each_message_gets_its_own(self, bus: RedisStreamsBus) -> None:
        handler = Recorder(Done(), Retry("not yet", after_seconds=0), Dead("no use"))
        await bus.publish("q", numbered(3))
        async with running(Worker(bus, [route("q", handler, batch_max=3)])):
            await eventually(lambda: settled(bus, "q"))
        assert handler.bodies() == ["0", "1", "2", "1"]
        assert handler.attempts() == [1, 1, 1, 2]
        (letter,) = await bus.list_dead("q", 10)
        assert (letter.body, letter.headers[DEAD_REASON_HEADER]) == (b"2", "no use")

    async def test_an_exception_retries_all_as_the_policy_says(self, bus: RedisStreamsBus) -> None:
        seen: list[int] = []

        async def fail(_: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            seen.extend(delivery.attempt for delivery in deliveries)
            raise LookupError("no such brand")

        await bus.publish("q", numbered(2))
        policy = RetryPolicy(attempts_max=2, first_delay_seconds=0.01, delay_seconds_max=0.01)
        with structlog.testing.capture_logs() as logs:
            async with running(Worker(bus, [route("q", fail, batch_max=2, retry=policy)])):
                letters = await eventually(lambda: _dead_letters(bus, "q", 2))
        assert set(seen) == {1, 2}
        reasons = {letter.headers[DEAD_REASON_HEADER] for letter in letters}
        assert reasons == {"given up after attempt 2: LookupError: no such brand"}
        assert {"handler failed", "messages retried", "message dead"} <= {entry["event"] for entry in logs}

    async def test_an_outage_is_told_in_a_line_and_is_no_defect(self, bus: RedisStreamsBus) -> None:
        tries: list[int] = []

        async def find_it_away(_: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            tries.append(len(deliveries))
            if len(tries) == 1:
                raise DomainError(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "sms_rpc is away")
            return [Done()] * len(deliveries)

        await bus.publish("q", numbered(2))
        policy = RetryPolicy(first_delay_seconds=0.01, delay_seconds_max=0.01)
        with structlog.testing.capture_logs() as logs:
            async with running(Worker(bus, [route("q", find_it_away, batch_max=2, retry=policy)])):
                await eventually(lambda: sum(tries) >= 4)
        (line,) = [entry for entry in logs if entry["event"] == "handler postponed"]
        assert (line["log_level"], line["error"]) == ("warning", "UNAVAILABLE: sms_rpc is away")
        assert "error" not in {entry["log_level"] for entry in logs}

    async def test_one_poisonous_message_fails_alone(self, bus: RedisStreamsBus) -> None:
        handled: list[bytes] = []

        async def fail_on_five(_: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            if any(delivery.body == b"5" for delivery in deliveries):
                raise LookupError("no such row")
            handled.extend(delivery.body for delivery in deliveries)
            return [Done()] * len(deliveries)

        await bus.publish("q", numbered(8))
        async with running(Worker(bus, [route("q", fail_on_five, batch_max=8, retry=RetryPolicy(attempts_max=1))])):
            (letter,) = await eventually(lambda: _dead_letters(bus, "q", 1))
            await eventually(lambda: settled(bus, "q"))
        assert letter.body == b"5"
        assert sorted(handled) == [b"0", b"1", b"2", b"3", b"4", b"6", b"7"]

    async def test_an_outage_is_no_message_s_fault(self, bus: RedisStreamsBus) -> None:
        calls: list[int] = []

        async def away(_: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            calls.append(len(deliveries))
            raise DomainError(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "sms_rpc is away")

        await bus.publish("q", numbered(8))
        async with running(Worker(bus, [route("q", away, batch_max=8, retry=RetryPolicy(attempts_max=1))])):
            await eventually(lambda: _dead_letters(bus, "q", 8))
        assert calls == [8]

    async def test_a_wrong_number_of_outcomes_settles_nothing(self, bus: RedisStreamsBus) -> None:
        async def forgetful(_: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            return [Done()] * (len(deliveries) - 1)

        await bus.publish("q", numbered(2))
        policy = RetryPolicy(attempts_max=1)
        async with running(Worker(bus, [route("q", forgetful, batch_max=2, retry=policy)])):
            letters = await eventually(lambda: _dead_letters(bus, "q", 2))
        assert "0 results for 1 items" in letters[0].headers[DEAD_REASON_HEADER]

    async def test_a_handler_that_takes_too_long_is_cancelled(self, bus: RedisStreamsBus) -> None:
        blocker = Blocker()
        await bus.publish("q", numbered(1))
        options = {"timeout_seconds": 0.1, "retry": RetryPolicy(attempts_max=1)}
        async with running(Worker(bus, [route("q", blocker, **options)])):
            (letter,) = await eventually(lambda: _dead_letters(bus, "q", 1))
        assert "TimeoutError" in letter.headers[DEAD_REASON_HEADER]
        assert (blocker.running, blocker.finished) == (0, 0)

    async def test_old_messages_raise_an_alarm_each_time_they_fail(self, bus: RedisStreamsBus) -> None:
        before = sample("brandmesh_worker_overdue_total", route="overdue")
        handler = Recorder(Retry("still no", after_seconds=0), Retry("still no", after_seconds=0))
        await bus.publish("overdue", numbered(1))
        with structlog.testing.capture_logs() as logs:
            async with running(Worker(bus, [route("overdue", handler, retry=RetryPolicy(alert_age_seconds=0))])):
                await eventually(lambda: settled(bus, "overdue"))
        assert sample("brandmesh_worker_overdue_total", route="overdue") == before + 2
        assert [entry["log_level"] for entry in logs if entry["event"] == "messages overdue"] == ["error"] * 2

    async def test_outcomes_are_counted_by_route(self, bus: RedisStreamsBus) -> None:
        handler = Recorder(Done(), Dead("no use"), Retry("again", after_seconds=0))
        await bus.publish("counted", numbered(3))
        async with running(Worker(bus, [route("counted", handler)])):
            await eventually(lambda: settled(bus, "counted"))
        count = {
            outcome: sample("brandmesh_worker_messages_total", route="counted", outcome=outcome)
            for outcome in ("done", "dead", "retried")
        }
        assert count == {"done": 2, "dead": 1, "retried": 1}
        assert sample("brandmesh_worker_in_flight", route="counted") == 0
        assert sample("brandmesh_worker_handler_seconds_count", route="counted") == 4

    async def test_works_in_the_trace_of_the_message(self, bus: RedisStreamsBus) -> None:
        trace_ids: list[str] = []

        async def note(_: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            trace_ids.append(trace.format_trace_id(trace.get_current_span().get_span_context().trace_id))
            return [Done()] * len(deliveries)

        trace_id = "0af7651916cd43dd8448eb211c80319c"
        await bus.publish("q", [Message(b"x", {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})])
        async with running(Worker(bus, [route("q", note)])):
            await eventually(lambda: trace_ids)
        assert trace_ids == [trace_id]


class TestIsolation:
    async def test_a_blocked_queue_does_not_delay_another(self, bus: RedisStreamsBus) -> None:
        blocker, recorder = Blocker(), Recorder()
        await bus.publish("slow.a", numbered(200))
        async with running(Worker(bus, [route("slow.", blocker, batch_max=10), route("fast.", recorder)])):
            await eventually(lambda: blocker.running)
            for number in range(20):
                await bus.publish("fast.b", numbered(1))
                await eventually(partial(recorder.has_seen, number + 1), 2)
            assert (blocker.running, blocker.finished) == (1, 0)
            blocker.let_go.set()
            await eventually(lambda: settled(bus, "slow.a"))
        assert blocker.running_most == 1

    async def test_a_failing_queue_does_not_delay_another(self, bus: RedisStreamsBus) -> None:
        failures: Counter[str] = Counter()

        async def fail_for_a(queue: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            failures[queue] += 1
            if queue == "q.a":
                raise LookupError("no such brand")
            return [Done()] * len(deliveries)

        await bus.publish("q.a", numbered(50))
        await bus.publish("q.b", numbered(50))
        async with running(Worker(bus, [route("q.", fail_for_a)])):
            await eventually(lambda: settled(bus, "q.b"))
            depth = await bus.depth("q.a")
            assert depth.ready + depth.in_flight + depth.delayed == 50
        assert failures["q.b"] == 50

    async def test_a_queue_that_cannot_be_read_does_not_delay_another(self, bus: RedisStreamsBus, redis: Redis) -> None:
        recorder = Recorder()
        await bus.publish("q.a", numbered(1))
        await redis.set("{b00}:stream:q.a", "not a stream")
        await bus.publish("q.b", numbered(50))
        with structlog.testing.capture_logs() as logs:
            async with running(Worker(bus, [route("q.", recorder)])):
                await eventually(lambda: settled(bus, "q.b"))
        assert len(recorder.seen) == 50
        assert "queue failed" in {entry["event"] for entry in logs}

    async def test_a_queue_has_at_most_its_concurrency(self, bus: RedisStreamsBus) -> None:
        blocker = Blocker()
        await bus.publish("q", numbered(20))
        async with running(Worker(bus, [route("q", blocker, concurrency=3, batch_max=2)])):
            await eventually(lambda: blocker.running == 3)
            assert (await bus.depth("q")).in_flight == 6
            blocker.let_go.set()
            await eventually(lambda: settled(bus, "q"))
        assert (blocker.running_most, blocker.finished) == (3, 20)

    async def test_a_message_that_comes_while_others_are_handled_is_handled_beside_them(
        self, bus: RedisStreamsBus
    ) -> None:
        blocker = Blocker()
        async with running(Worker(bus, [route("q", blocker, concurrency=2, batch_max=10)])):
            for expected in (1, 2):
                await bus.publish("q", numbered(1))
                await eventually(partial(blocker.is_running, expected), 2)
            blocker.let_go.set()
            await eventually(lambda: settled(bus, "q"))

    async def test_a_queue_that_gave_less_than_it_was_asked_for_is_not_asked_again(self, redis_url: str) -> None:
        bus, recorder = Counting(connect_redis(redis_url, "worker")), Recorder()
        for number in range(100):
            await bus.publish(f"q.{number}", numbered(3))
        async with running(Worker(bus, [route("q.", recorder, batch_max=10)])):
            await eventually(partial(recorder.has_seen, 300))
        assert bus.receives == 100
        await bus.close()

    async def test_a_full_queue_s_next_message_does_not_wait_for_the_next_look(
        self, bus: RedisStreamsBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for pause in ("_LOOK_PAUSE_SECONDS_FIRST", "_LOOK_PAUSE_SECONDS_MAX"):
            monkeypatch.setattr(worker_module, pause, 3600)
        blocker = Blocker()
        async with running(Worker(bus, [route("q", blocker, batch_max=10)])):
            await bus.publish("q", numbered(1))
            await eventually(lambda: blocker.running)
            await bus.publish("q", numbered(1))
            await asyncio.sleep(0.2)
            blocker.let_go.set()
            await eventually(lambda: settled(bus, "q"))
        assert blocker.finished == 2

    async def test_all_queues_together_have_at_most_the_cap_and_take_turns(self, bus: RedisStreamsBus) -> None:
        running_now = running_most = 0
        order: list[str] = []

        async def note(queue: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            nonlocal running_now, running_most
            running_now += 1
            running_most = max(running_most, running_now)
            order.append(queue)
            await asyncio.sleep(0.005)
            running_now -= 1
            return [Done()] * len(deliveries)

        names = [f"q.{number}" for number in range(10)]
        for name in names:
            await bus.publish(name, numbered(10))
        async with running(Worker(bus, [route("q.", note)], handlers_max=2)):
            await eventually(lambda: len(order) == 100)
        assert running_most == 2
        assert set(order[:30]) == set(names)

    async def test_the_first_route_that_takes_a_queue_counts(self, bus: RedisStreamsBus) -> None:
        first, second = Recorder(), Recorder()
        for name in ("sms.batch", "sms.single", "sms.foreign", "im.single"):
            await bus.publish(name, [Message(name.encode())])
        routes = [
            route("sms.", first, accepts=lambda queue: queue.endswith(".batch")),
            route("sms.", second, accepts=lambda queue: not queue.endswith(".foreign")),
        ]
        async with running(Worker(bus, routes)):
            await eventually(lambda: first.seen and second.seen)
        assert (first.bodies(), second.bodies()) == (["sms.batch"], ["sms.single"])
        assert (await bus.depth("sms.foreign")).ready == (await bus.depth("im.single")).ready == 1

    async def test_a_queue_that_is_full_up_is_not_looked_at_in_a_hurry(
        self, bus: RedisStreamsBus, redis: Redis
    ) -> None:
        blocker = Blocker()
        await bus.publish("q", numbered(20))
        async with running(Worker(bus, [route("q", blocker)])):
            await eventually(lambda: blocker.running)
            await asyncio.sleep(0.2)
            await redis.config_resetstat()
            await asyncio.sleep(0.5)
            commands = await redis.info("commandstats")
            assert commands["cmdstat_evalsha"]["calls"] <= 26, "fifty a second, and the first two"
            blocker.let_go.set()

    async def test_nobody_looks_while_all_handlers_are_busy(self, bus: RedisStreamsBus, redis: Redis) -> None:
        blocker = Blocker()
        for number in range(10):
            await bus.publish(f"q.{number}", numbered(1))
        async with running(Worker(bus, [route("q.", blocker)], handlers_max=2)):
            await eventually(partial(blocker.is_running, 2))
            await asyncio.sleep(0.2)
            await redis.config_resetstat()
            await asyncio.sleep(0.5)
            commands = await redis.info("commandstats")
            assert "cmdstat_evalsha" not in commands
            blocker.let_go.set()
            await eventually(lambda: blocker.finished == 10)

    async def test_idle_queues_hold_no_task(self, bus: RedisStreamsBus) -> None:
        recorder = Recorder()
        worker = Worker(bus, [route("q.", recorder)])
        async with running(worker):
            for number in range(200):
                await bus.publish(f"q.{number}", numbered(1))
            await eventually(lambda: len(recorder.seen) == 200)
            await eventually(lambda: not worker._queues)
            assert len(asyncio.all_tasks()) < 10


class TestVisibility:
    async def test_messages_stay_hidden_while_their_handler_runs(self, redis_url: str, redis: Redis) -> None:
        bus = LongHidden(connect_redis(redis_url, "worker"), visibility_seconds_min=1)
        blocker = Blocker()
        await bus.publish("q", numbered(3))
        async with running(Worker(bus, [route("q", blocker, batch_max=3, visibility_seconds=1)])):
            await eventually(lambda: blocker.running)
            for _ in range(3):
                until = await hide_for(redis, LongHidden.SECONDS // 2)
                await eventually(partial(are_hidden_beyond, redis, until))
                assert await bus.receive("q", 10, 1) == []
            await eventually(lambda: 0 < bus.seconds_between_extends_least() < 1)
            blocker.let_go.set()
            await eventually(lambda: settled(bus, "q"))
        assert bus.asked == {1}
        await bus.close()

    async def test_losing_a_message_meanwhile_is_harmless(self, redis_url: str, bus: RedisStreamsBus) -> None:
        class ForgetfulBus(RedisStreamsBus):
            async def extend(self, deliveries: Sequence[Delivery], visibility_seconds: int) -> None:
                raise BusUnavailableError(f"{len(deliveries)} not kept for {visibility_seconds} s")

        forgetful = ForgetfulBus(connect_redis(redis_url, "forgetful"), visibility_seconds_min=1)
        blocker, recorder = Blocker(), Recorder()
        await bus.publish("q", numbered(1))
        async with running(Worker(forgetful, [route("q", blocker, visibility_seconds=1)])):
            await eventually(lambda: blocker.running)
            async with running(Worker(bus, [route("q", recorder)])):
                await eventually(lambda: settled(bus, "q"))
            assert recorder.attempts() == [2]
            blocker.let_go.set()
            await eventually(lambda: blocker.finished)
        assert await settled(bus, "q")
        await forgetful.close()


class TestShutdown:
    async def test_handlers_finish_while_nothing_new_is_taken(self, bus: RedisStreamsBus) -> None:
        blocker = Blocker()
        await bus.publish("q", numbered(5))
        stop = asyncio.Event()
        task = asyncio.create_task(Worker(bus, [route("q", blocker)]).run(stop, 5))
        await eventually(lambda: blocker.running)
        stop.set()
        blocker.let_go.set()
        await asyncio.wait_for(task, 2)
        depth = await bus.depth("q")
        assert (blocker.finished, depth.ready, depth.in_flight) == (1, 4, 0)

    async def test_late_handlers_are_cancelled_and_their_messages_come_back(self, bus: RedisStreamsBus) -> None:
        blocker, recorder = Blocker(), Recorder()
        await bus.publish("q", numbered(1))
        with structlog.testing.capture_logs() as logs:
            async with running(Worker(bus, [route("q", blocker, visibility_seconds=1)]), drain_seconds=0.1):
                await eventually(lambda: blocker.running)
        assert (blocker.running, blocker.finished) == (0, 0)
        assert "handlers cancelled at shutdown" in {entry["event"] for entry in logs}
        async with running(Worker(bus, [route("q", recorder)])):
            await eventually(lambda: recorder.seen)
        assert recorder.attempts() == [2]

    async def test_a_cancellation_that_the_bus_loses_does_not_keep_it_running(
        self, redis_url: str, redis: Redis
    ) -> None:
        # Where a queue has work left over, the worker pauses outside of the bus, and may be ended there.
        await redis.flushall()
        bus = Losing(connect_redis(redis_url, "worker"))
        try:
            async with asyncio.timeout(5), running(Worker(bus, [route("q", Recorder())])):
                await eventually(lambda: bus.is_waiting)
            assert bus.cancellations == 2
        finally:
            await bus.close()

    async def test_an_idle_worker_stops_at_once(self, bus: RedisStreamsBus) -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(Worker(bus, [route("q", Recorder())]).run(stop, 60))
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(task, 1)


class TestFailures:
    async def test_a_killed_worker_leaves_its_messages_to_others(self, bus: RedisStreamsBus, redis_url: str) -> None:
        recorder = Recorder()
        await bus.publish("q", numbered(1))
        victim = await asyncio.create_subprocess_exec(
            sys.executable,
            Path(__file__).with_name("worker_process.py"),
            redis_url,
            "q",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert victim.stdout is not None
        message_id = (await victim.stdout.readline()).decode().strip()
        async with running(Worker(bus, [route("q", recorder)])):
            victim.kill()
            await victim.communicate()
            await eventually(lambda: settled(bus, "q"))
        assert [(delivery.message_id, delivery.attempt) for delivery in recorder.seen] == [(message_id, 2)]

    async def test_goes_on_after_a_flush(self, bus: RedisStreamsBus, redis: Redis) -> None:
        recorder = Recorder()
        async with running(Worker(bus, [route("q", recorder)])):
            await bus.publish("q", numbered(1))
            await eventually(lambda: len(recorder.seen) == 1)
            await redis.flushall()
            await redis.script_flush()
            await bus.publish("q", numbered(1))
            await eventually(lambda: len(recorder.seen) == 2)

    async def test_goes_on_after_a_restart_and_loses_nothing(self, tmp_path: Path) -> None:
        server = await start_redis(tmp_path)
        bus = RedisStreamsBus(connect_redis(server.url, "worker"), visibility_seconds_min=1)
        handled: set[bytes] = set()

        async def note(_: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
            await asyncio.sleep(0.01)
            handled.update(delivery.body for delivery in deliveries)
            return [Done()] * len(deliveries)

        await bus.publish("q", numbered(300))
        with structlog.testing.capture_logs() as logs:
            async with running(Worker(bus, [route("q", note, concurrency=3, visibility_seconds=1)])):
                await eventually(lambda: len(handled) > 50)
                await server.kill()
                await eventually(lambda: "away" in {entry["event"] for entry in logs})
                server = await start_redis(tmp_path, server.url)
                await eventually(lambda: len(handled) == 300, 20)
                await eventually(lambda: settled(bus, "q"), 20)
        told = [entry for entry in logs if entry["event"] == "away" and entry["dependency"] == "bus (waiting)"]
        assert len(told) <= 1
        await bus.close()
        await server.stop()


async def _dead_letters(bus: Bus, queue: str, count: int) -> list[Delivery]:
    letters = await bus.list_dead(queue, 100)
    return letters if len(letters) == count else []
