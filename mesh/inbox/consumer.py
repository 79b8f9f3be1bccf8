"""Consuming an inbox: several processes share its lists, and nothing is dropped until it is handled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from prometheus_client import Counter, Histogram
from redis.exceptions import RedisError

from mesh import telemetry
from mesh.alongside import alongside
from mesh.ending import end
from mesh.inbox.inbox import Claim, Inbox
from mesh.inbox.item import InboxItem
from mesh.lanes import Lanes
from mesh.outage import Outage
from mesh.poison import handle_apart, tell_failures
from mesh.redis_wake import WakeChannel
from mesh.retry import RetryPolicy
from mesh.waiting import set_within

LOOK_SECONDS = 1.0
"""All lists are looked at this often although nothing woke the consumer: pub/sub may lose messages."""

log = telemetry.logger(part="inbox")

_items = Counter("brandmesh_inbox_items", "Items by what became of them", ["inbox", "outcome"])
_overdue = Counter("brandmesh_inbox_overdue", "Failures of items older than the policy's alert age", ["inbox"])
_handler_seconds = Histogram("brandmesh_inbox_handler_seconds", "Time that a handler took for a batch", ["inbox"])


@dataclass(frozen=True, slots=True)
class Requeue:
    """The item is to come again, after `after_seconds` or as the consumer's policy says."""

    reason: str
    after_seconds: float | None = None


InboxOutcome: TypeAlias = bool | Requeue

InboxHandler: TypeAlias = Callable[[Sequence[InboxItem]], Awaitable[Sequence[InboxOutcome]]]
"""Handles items: one outcome an item, in order. True: done. False: again, as the policy says.

When it raises because something is away (`mesh.outage.is_outage`), all come again. When it raises anything else, it is
called again with each half of the items, until those that it fails on are alone.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxOptions:
    """How an inbox is consumed: batches, lists at once, how long a lease outlives a crash, and pauses between attempts.

    `pace_seconds` is the least time between two batches of one turn, unless the last one was full: what it adds to the
    age of an item makes the next batch larger, and each cheaper.

    The policy's `attempts_max` does not count here: what a provider told us once is never told again.
    """

    batch_max: int = 100
    concurrency: int = 4
    pace_seconds: float = 0.0
    lease_seconds: float = 30.0
    timeout_seconds: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class InboxConsumer:
    """Hands the items of an inbox to a handler."""

    def __init__(self, inbox: Inbox, handle: InboxHandler, options: InboxOptions | None = None) -> None:
        self._inbox = inbox
        self._handle = handle
        self._options = options or InboxOptions()
        self._turns = asyncio.Semaphore(self._options.concurrency)
        self._wake = WakeChannel(inbox.redis, inbox.wake_channel, self._on_wake)
        self._woken = asyncio.Event()
        self._to_look_at: set[int] = set()
        self._open: set[int] = set()
        self._outage = Outage(f"inbox {inbox.name}")

    async def run(self, stop: asyncio.Event, drain_seconds: float) -> None:
        """Consume until `stop` is set; then claim no more, and give the handlers `drain_seconds` to finish.

        Those that take longer are cancelled, and their items are handled again once the lease has run out.
        """
        self._wake.start()
        try:
            async with asyncio.TaskGroup() as group:
                lanes = Lanes(group)
                dispatching = group.create_task(self._dispatch(lanes, stop), name="dispatch inbox")
                await stop.wait()
                await end(dispatching)
                await lanes.drain(drain_seconds)
        finally:
            await self._wake.close()

    def _on_wake(self, shard: str | None) -> None:
        self._to_look_at.update(range(self._inbox.shards) if shard is None else [int(shard)])
        self._woken.set()

    async def _dispatch(self, lanes: Lanes, stop: asyncio.Event) -> None:
        while True:
            self._wake.start()
            if not await set_within(self._woken, LOOK_SECONDS):
                self._on_wake(None)
            self._woken.clear()
            for shard in self._to_look_at - self._open:
                self._open.add(shard)
                lanes.open(self._lane(shard, stop), name=f"inbox {self._inbox.name} {shard}")

    async def _lane(self, shard: int, stop: asyncio.Event) -> None:
        """Work one list off. A wake-up that comes when it was just found empty is not lost."""
        try:
            while not stop.is_set():
                self._to_look_at.discard(shard)
                if not await self._turn(shard, stop) and shard not in self._to_look_at:
                    break
        except RedisError as error:
            await self._outage.pause(error, stop)
        except Exception as error:
            log.exception("inbox failed", inbox=self._inbox.name, shard=shard)
            await self._outage.pause(error, stop)
        finally:
            self._open.discard(shard)

    async def _turn(self, shard: int, stop: asyncio.Event) -> bool:
        """Handle the first items of a list; answer whether there were any."""
        async with self._turns:
            if stop.is_set():
                return False
            started_at = time.monotonic()
            claim = await self._inbox.claim(shard, self._options.batch_max, self._options.lease_seconds)
            self._outage.end()
            if claim is None:
                return False
            with telemetry.from_headers({}):
                async with alongside(self._renew(claim)):
                    outcomes = await self._outcomes(claim.items)
                await self._settle(claim, outcomes)
            if len(claim.items) < self._options.batch_max:
                await set_within(stop, started_at + self._options.pace_seconds - time.monotonic())
        return True

    async def _outcomes(self, items: Sequence[InboxItem]) -> Sequence[InboxOutcome]:
        errors: list[Exception] = []

        async def call(batch: Sequence[InboxItem]) -> Sequence[InboxOutcome]:
            with _handler_seconds.labels(self._inbox.name).time():
                async with asyncio.timeout(self._options.timeout_seconds):
                    return await self._handle(batch)

        def failed(error: Exception) -> InboxOutcome:
            errors.append(error)
            return Requeue(f"{type(error).__name__}: {error}")

        outcomes = await handle_apart(call, items, failed)
        tell_failures(errors, inbox=self._inbox.name)
        return outcomes

    async def _settle(self, claim: Claim, outcomes: Sequence[InboxOutcome]) -> None:
        failed = [(item, outcome) for item, outcome in zip(claim.items, outcomes, strict=True) if outcome is not True]
        again = [(self._pause_seconds(item, outcome), item.again()) for item, outcome in failed]
        name = self._inbox.name
        if not await self._inbox.settle(claim, again):
            _items.labels(name, "lost").inc(len(claim.items))
            log.warning("lease lost, items will be handled again", inbox=name, items=len(claim.items))
            return
        _items.labels(name, "done").inc(len(claim.items) - len(again))
        if failed:
            self._tell(failed)

    def _pause_seconds(self, item: InboxItem, outcome: InboxOutcome) -> float:
        if isinstance(outcome, Requeue) and outcome.after_seconds is not None:
            return outcome.after_seconds
        return self._options.retry.delay_seconds(item.attempt)

    def _tell(self, failed: Sequence[tuple[InboxItem, InboxOutcome]]) -> None:
        name = self._inbox.name
        reason = next((outcome.reason for _, outcome in failed if isinstance(outcome, Requeue)), "")
        oldest = max(failed, key=lambda pair: pair[0].age_seconds)[0]
        described = log.bind(inbox=name, reason=reason, attempt=oldest.attempt, age_seconds=round(oldest.age_seconds))
        described.info("items requeued", items=len(failed))
        _items.labels(name, "requeued").inc(len(failed))
        overdue = sum(item.age_seconds > self._options.retry.alert_age_seconds for item, _ in failed)
        if overdue:
            _overdue.labels(name).inc(overdue)
            described.error("items overdue", items=overdue)

    async def _renew(self, claim: Claim) -> None:
        """Hold the lease; once it is lost, the settlement will find out."""
        is_held = True
        while is_held:
            await asyncio.sleep(self._options.lease_seconds / 3)
            try:
                is_held = await self._inbox.renew(claim, self._options.lease_seconds)
            except RedisError as error:
                log.info("could not renew the lease", inbox=self._inbox.name, error=str(error))
