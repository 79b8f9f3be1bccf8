"""What a service tells the worker: which queues, which handler, how much at once, and how to try again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from mesh.bus.port import Delivery, accept_all
from mesh.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Done:
    """The message is settled."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The message is to come again, after `after_seconds` or as the route's policy says, unless that is exhausted."""

    reason: str
    after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """The message can never be handled: it becomes a dead letter at once."""

    reason: str


Outcome: TypeAlias = Done | Retry | Dead

Handler: TypeAlias = Callable[[str, Sequence[Delivery]], Awaitable[Sequence[Outcome]]]
"""Works on a batch of one queue: one outcome a delivery, in order.

When it raises because something is away (`mesh.outage.is_outage`), the batch is retried. When it raises anything else,
it is called again with each half of the batch, until the messages that it fails on are alone; these are retried.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The queues whose name starts with `prefix` and that `accepts` takes, and how they are worked.

    `name` labels logs and metrics. Of each queue up to `concurrency` batches of up to `batch_max` messages are handled
    at once. A handler may take `timeout_seconds`; its messages are kept hidden from other consumers as long as it runs,
    `visibility_seconds` at a time, which is also how long they are missing after a crash.
    """

    name: str
    prefix: str
    handler: Handler
    accepts: Callable[[str], bool] = accept_all
    concurrency: int = 1
    batch_max: int = 1
    visibility_seconds: int = 30
    timeout_seconds: float = 300.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.batch_max < 1:
            raise ValueError(f"route {self.name}: concurrency and batch_max must be 1 or more")

    def takes(self, queue: str) -> bool:
        return queue.startswith(self.prefix) and self.accepts(queue)
