"""What this process consumes, and what it has done by the clock."""

from __future__ import annotations

from mesh.periodic import Periodic
from mesh.worker import RetryPolicy, Route
from messagecenter_rmq.clients import ImRecords
from messagecenter_rmq.handlers import ImRecordHandler
from messagecenter_rmq.queues import QUEUE_PREFIX, QueueSelection
from messagecenter_rmq.settings import Settings

_SWEPT_MAX = 1000

_MESSAGES_AT_ONCE = 50
"""A message names the records of one call that are due at one time, or a hundred of them."""

_HANDLER_SECONDS_MAX = 900.0
"""A batch waits for its turn at the rate that all brands share, so it may take long. Each of its steps is bounded."""


def route(settings: Settings, handler: ImRecordHandler) -> Route:
    """The queues of the brands that this process takes."""
    return Route(
        name="im-call",
        prefix=QUEUE_PREFIX,
        handler=handler.handle,
        accepts=QueueSelection(settings.brands, settings.except_brands).takes,
        concurrency=settings.concurrency,
        batch_max=_MESSAGES_AT_ONCE,
        timeout_seconds=_HANDLER_SECONDS_MAX,
        # The row decides how long a call is of use; until a claim succeeds, its queue message comes again.
        retry=RetryPolicy(first_delay_seconds=1, delay_seconds_max=30),
    )


def sweep(settings: Settings, records: ImRecords) -> Periodic:
    """What is overdue: records to publish, and leases of consumers that went away."""

    async def run() -> None:
        await records.sweep(_SWEPT_MAX)

    return Periodic("sweep records", run, settings.sweep_seconds)
