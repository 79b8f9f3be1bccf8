"""The bus in one process's memory: for tests, and as the plainest statement of what the port means."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from mesh.bus.envelope import Envelope, new_message_id
from mesh.bus.port import (
    DEAD_REASON_HEADER,
    DEAD_SUFFIX,
    VISIBILITY_SECONDS_MIN,
    Delivery,
    Depth,
    Message,
    accept_all,
    check_visibility,
)
from mesh.waiting import set_within

LOOK_SECONDS_MAX = 1.0


def system_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class _Entry:
    """A message, and how many attempts at it failed or were lost."""

    envelope: Envelope
    published_at_ms: int
    attempts: int = 0


@dataclass(slots=True)
class _Hidden:
    """A message in flight. Each delivery has a handle of its own, so that who lost the message cannot settle it."""

    entry: _Entry
    attempt: int
    until_ms: int
    handle: str = ""


@dataclass(slots=True)
class _Queue:
    ready: deque[_Entry] = field(default_factory=deque)
    hidden: dict[str, _Hidden] = field(default_factory=dict)
    delayed: list[tuple[int, int, _Entry]] = field(default_factory=list)
    """A heap by due time, then by order of arrival."""

    arrivals: int = 0
    handles: Iterator[int] = field(default_factory=itertools.count)

    def append(self, entry: _Entry, now_ms: int, delay_seconds: float) -> None:
        if delay_seconds == 0:
            self.ready.append(entry)
            return
        self.arrivals += 1
        heapq.heappush(self.delayed, (now_ms + _ms(delay_seconds), self.arrivals, entry))

    def ripen(self, now_ms: int) -> None:
        """Move the delayed messages that are due behind the ready ones."""
        while self.delayed and self.delayed[0][0] <= now_ms:
            self.ready.append(heapq.heappop(self.delayed)[2])

    def expired(self, now_ms: int) -> list[_Hidden]:
        """Name the messages whose consumer let their visibility pass, the longest lost first."""
        expired = [hidden for hidden in self.hidden.values() if hidden.until_ms <= now_ms]
        return sorted(expired, key=lambda hidden: hidden.until_ms)

    def take(self, now_ms: int, max_messages: int, until_ms: int) -> list[_Hidden]:
        """Hide messages: those that were lost, then those that are ready."""
        taken = self.expired(now_ms)[:max_messages]
        while self.ready and len(taken) < max_messages:
            entry = self.ready.popleft()
            hidden = _Hidden(entry, entry.attempts, until_ms)
            self.hidden[entry.envelope.message_id] = hidden
            taken.append(hidden)
        for hidden in taken:
            hidden.attempt += 1
            hidden.until_ms = until_ms
            hidden.handle = str(next(self.handles))
        return taken

    def next_due_ms(self) -> int | None:
        deadlines = [hidden.until_ms for hidden in self.hidden.values()]
        return min([*deadlines, *(due_ms for due_ms, _, _ in self.delayed[:1])], default=None)

    def entries(self) -> list[_Entry]:
        return [
            *self.ready,
            *(hidden.entry for hidden in self.hidden.values()),
            *(entry for _, _, entry in self.delayed),
        ]


class MemoryBus:
    """The `Bus` port without a broker. Whoever shares the object shares the queues; they end with it."""

    def __init__(
        self,
        clock_ms: Callable[[], int] = system_clock_ms,
        *,
        visibility_seconds_min: int = VISIBILITY_SECONDS_MIN,
    ) -> None:
        self._clock_ms = clock_ms
        self._visibility_seconds_min = visibility_seconds_min
        self._queues: dict[str, _Queue] = {}
        self._changed = asyncio.Event()

    async def ensure(self, queue: str) -> None:
        self._queue(queue)

    async def queues(self, prefix: str) -> list[str]:
        return sorted(name for name in self._queues if name.startswith(prefix))

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        now_ms = self._clock_ms()
        for message in messages:
            envelope = Envelope(new_message_id(), dict(message.headers), message.body)
            entry = _Entry(envelope, now_ms + _ms(delay_seconds))
            self._queue(queue).append(entry, now_ms, delay_seconds)
        self._changed.set()

    async def wait_ready(
        self, prefixes: Collection[str], timeout_seconds: float, accepts: Callable[[str], bool] = accept_all
    ) -> set[str]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        while True:
            self._changed.clear()
            ready, pause = self._look(tuple(prefixes), accepts)
            remaining = deadline - clock()
            if ready or remaining <= 0:
                return ready
            await set_within(self._changed, min(remaining, pause))

    async def receive(self, queue: str, max_messages: int, visibility_seconds: int) -> list[Delivery]:
        check_visibility(visibility_seconds, self._visibility_seconds_min)
        now_ms = self._clock_ms()
        source = self._queue(queue)
        source.ripen(now_ms)
        taken = source.take(now_ms, max_messages, now_ms + visibility_seconds * 1000)
        return [_delivery(queue, hidden.entry, hidden.attempt, hidden.handle) for hidden in taken]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._settle(delivery)

    async def nack(self, delivery: Delivery, delay_seconds: float) -> None:
        entry = self._settle(delivery)
        if entry is not None:
            entry.attempts = delivery.attempt
            self._queue(delivery.queue).append(entry, self._clock_ms(), delay_seconds)
            self._changed.set()

    async def extend(self, deliveries: Sequence[Delivery], visibility_seconds: int) -> None:
        check_visibility(visibility_seconds, self._visibility_seconds_min)
        until_ms = self._clock_ms() + visibility_seconds * 1000
        for delivery in deliveries:
            hidden = self._held(delivery)
            if hidden is not None:
                hidden.until_ms = until_ms

    async def dead(self, delivery: Delivery, reason: str) -> None:
        entry = self._settle(delivery)
        if entry is not None:
            headers = {**delivery.headers, DEAD_REASON_HEADER: reason}
            envelope = Envelope(delivery.message_id, headers, delivery.body)
            letter = _Entry(envelope, entry.published_at_ms, delivery.attempt)
            self._queue(delivery.queue + DEAD_SUFFIX).ready.append(letter)

    async def requeue_dead(self, queue: str, max_messages: int) -> int:
        letters = self._queue(queue + DEAD_SUFFIX).ready
        count = min(max_messages, len(letters))
        for _ in range(count):
            letter = letters.popleft()
            self._queue(queue).ready.append(_Entry(letter.envelope, letter.published_at_ms))
        self._changed.set()
        return count

    async def list_dead(self, queue: str, max_messages: int) -> list[Delivery]:
        dead_queue = queue + DEAD_SUFFIX
        letters = self._queues[dead_queue].ready if dead_queue in self._queues else deque()
        return [_delivery(dead_queue, letter, letter.attempts, handle="") for letter in list(letters)[:max_messages]]

    async def depth(self, queue: str) -> Depth:
        now_ms = self._clock_ms()
        source = self._queues.get(queue, _Queue())
        source.ripen(now_ms)
        expired = len(source.expired(now_ms))
        oldest_ms = min((entry.published_at_ms for entry in source.entries()), default=now_ms)
        return Depth(
            ready=len(source.ready) + expired,
            in_flight=len(source.hidden) - expired,
            delayed=len(source.delayed),
            oldest_age_seconds=max(0, now_ms - oldest_ms) / 1000,
        )

    async def close(self) -> None:
        """Nothing to let go of."""

    def _queue(self, queue: str) -> _Queue:
        return self._queues.setdefault(queue, _Queue())

    def _held(self, delivery: Delivery) -> _Hidden | None:
        """Answer the message while this delivery of it is the one in flight."""
        hidden = self._queue(delivery.queue).hidden.get(delivery.message_id)
        return hidden if hidden is not None and hidden.handle == delivery.handle else None

    def _settle(self, delivery: Delivery) -> _Entry | None:
        hidden = self._held(delivery)
        if hidden is None:
            return None
        del self._queue(delivery.queue).hidden[delivery.message_id]
        return hidden.entry

    def _look(self, prefixes: tuple[str, ...], accepts: Callable[[str], bool]) -> tuple[set[str], float]:
        """Name the queues with work, and say after how many seconds to look again."""
        now_ms = self._clock_ms()
        ready: set[str] = set()
        next_due_ms = now_ms + int(LOOK_SECONDS_MAX * 1000)
        for name, queue in self._queues.items():
            if not name.startswith(prefixes) or name.endswith(DEAD_SUFFIX) or not accepts(name):
                continue
            queue.ripen(now_ms)
            if queue.ready or queue.expired(now_ms):
                ready.add(name)
            next_due_ms = min(next_due_ms, queue.next_due_ms() or next_due_ms)
        return ready, (next_due_ms - now_ms) / 1000


def _delivery(queue: str, entry: _Entry, attempt: int, handle: str) -> Delivery:
    envelope = entry.envelope
    return Delivery(
        queue=queue,
        message_id=envelope.message_id,
        body=envelope.body,
        headers=envelope.headers,
        attempt=attempt,
        published_at_ms=entry.published_at_ms,
        handle=handle,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
