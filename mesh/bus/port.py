"""What brandmesh asks of a message bus, and nothing more than every engine can do.

Delivery is at least once. A message is an id or a list of ids, never the truth: the consumer reads the row behind it,
so a duplicate finds the row moved on, and a lost message is published again from the row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

VISIBILITY_SECONDS_MIN = 10
"""Least time that a received message may stay hidden from other consumers (RocketMQ's own least)."""

DEAD_SUFFIX = ".dead"
"""Dead letters of queue `q` are the messages of queue `q.dead`."""

DEAD_REASON_HEADER = "dead-reason"
"""Header of a dead letter that says why it is one."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a publisher hands in. `headers` carry the trace context across the queue."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a consumer gets: a message, and the receipt handle to settle it with.

    `attempt` is 1 the first time, and grows with each nack and each time that a consumer died holding the message; of a
    listed dead letter it is the attempt that failed last. `published_at_ms` is when the message was published, or was
    first to be delivered if it was published with a delay.
    """

    queue: str
    message_id: str
    body: bytes
    headers: Mapping[str, str]
    attempt: int
    published_at_ms: int
    handle: str


@dataclass(frozen=True, slots=True)
class Depth:
    """How full a queue is. `oldest_age_seconds` is the age of the oldest message that is not settled; 0 if none.

    An age counts from `Delivery.published_at_ms`, so a message that waits for its delay has none yet.
    """

    ready: int
    in_flight: int
    delayed: int
    oldest_age_seconds: float


def accept_all(_: str) -> bool:
    """Take any queue."""
    return True


def check_visibility(visibility_seconds: int, visibility_seconds_min: int) -> None:
    """Raise ValueError where a message would come again too soon."""
    if visibility_seconds < visibility_seconds_min:
        raise ValueError(f"visibility_seconds is {visibility_seconds}, must be {visibility_seconds_min} or more")


class Bus(Protocol):
    """The port. Every call may raise `BusUnavailableError`; none blocks longer than it says."""

    async def ensure(self, queue: str) -> None:
        """Make a queue exist. Idempotent."""

    async def queues(self, prefix: str) -> list[str]:
        """Name the queues whose name starts with `prefix`, dead-letter queues included, sorted."""

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        """Append messages in order; they are durable when this returns. Creates the queue if it does not exist.

        Delayed messages are delivered in the order of their times, and those of one time in any order. An engine may
        round the delay up to its own precision, at most to the next second, and let neighbours of two seconds pass each
        other.
        """

    async def wait_ready(
        self, prefixes: Collection[str], timeout_seconds: float, accepts: Callable[[str], bool] = accept_all
    ) -> set[str]:
        """Wait until a queue with one of these prefixes that `accepts` takes may have work, and name all such queues.

        Dead-letter queues are never named, and of very many queues a thousand at a time. Costs the same with ten and
        with ten thousand idle queues. Empty on time-out.
        """

    async def receive(self, queue: str, max_messages: int, visibility_seconds: int) -> list[Delivery]:
        """Take up to `max_messages` that are ready, oldest first, without waiting.

        They stay hidden from other consumers for `visibility_seconds`; a message that is not settled by then is
        delivered again.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Settle messages for good. Settling one that was delivered again meanwhile is harmless."""

    async def nack(self, delivery: Delivery, delay_seconds: float) -> None:
        """Give a message back, to be delivered after `delay_seconds` with its attempt one higher."""

    async def extend(self, deliveries: Sequence[Delivery], visibility_seconds: int) -> None:
        """Hide messages that are still being worked on for another `visibility_seconds` from now."""

    async def dead(self, delivery: Delivery, reason: str) -> None:
        """Move a message to the queue's dead letters, with `reason` in its header `DEAD_REASON_HEADER`."""

    async def requeue_dead(self, queue: str, max_messages: int) -> int:
        """Move up to `max_messages` dead letters of `queue` back to it as first attempts; answer how many."""

    async def list_dead(self, queue: str, max_messages: int) -> list[Delivery]:
        """Show up to `max_messages` dead letters of `queue`, oldest first, without taking them."""

    async def depth(self, queue: str) -> Depth:
        """Say how full a queue is."""

    async def close(self) -> None:
        """Let go of connections."""


class BusUnavailableError(Exception):
    """The bus cannot be reached, or did not answer in time. What was asked may or may not have happened."""
