"""What this process consumes, and what it has done by the clock."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.periodic import Periodic
from mesh.worker import RetryPolicy, Route
from sms_rmq.callbacks import CALLBACK_QUEUE, CallbackRequeue, ReceiptPull
from sms_rmq.clients import SmsDispatches
from sms_rmq.handlers import DispatchHandler
from sms_rmq.queues import QUEUE_PREFIX, QueueSelection
from sms_rmq.settings import Settings

_SWEPT_MAX = 1000
_CALLBACKS_AT_ONCE = 100
_MESSAGES_AT_ONCE = {"single": 10, "batch": 1}
"""A message of a single queue names up to 100 dispatches, one of a batch queue names one of up to 1,000 recipients."""


def routes(settings: Settings, handler: DispatchHandler, requeue: CallbackRequeue) -> Sequence[Route]:
    """Single and batch queues of the brands and types that this process takes, and callbacks that were put back."""
    selection = QueueSelection(settings.brands, settings.except_brands, settings.types, settings.modes)
    # The row decides how long a message is of use; until a claim succeeds, its queue message comes again.
    retry = RetryPolicy(first_delay_seconds=1, delay_seconds_max=30)
    sends = [
        Route(
            name=f"sms-{mode}",
            prefix=QUEUE_PREFIX,
            handler=handler.handle,
            accepts=selection.of_mode(mode),
            concurrency=settings.concurrency,
            batch_max=batch_max,
            retry=retry,
        )
        for mode, batch_max in _MESSAGES_AT_ONCE.items()
    ]
    callbacks = Route(
        name=CALLBACK_QUEUE,
        prefix=CALLBACK_QUEUE,
        accepts=lambda queue: queue == CALLBACK_QUEUE,
        handler=requeue.handle,
        batch_max=_CALLBACKS_AT_ONCE,
    )
    return [*sends, callbacks] if settings.receipts else sends


def sweeps(settings: Settings, dispatches: SmsDispatches, pull: ReceiptPull) -> Sequence[Periodic]:
    """What is overdue: dispatches to publish or to settle, and receipts that could not be pushed."""

    async def sweep() -> None:
        await dispatches.sweep(_SWEPT_MAX)

    jobs = [Periodic("sweep dispatches", sweep, settings.sweep_seconds)]
    if settings.pull_seconds:
        jobs.append(Periodic("pull receipts", pull.pull, settings.pull_seconds))
    return jobs
