"""What this process consumes, and what it has done by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mesh.periodic import Periodic
from mesh.worker import RetryPolicy, Route
from sms_rmq.callbacks import CALLBACK_QUEUE, CallbackRequeue, ReceiptPull
from sms_rmq.clients import SmsDispatches
from sms_rmq.handlers import DispatchHandler
from sms_rmq.queues import QUEUE_PREFIX, QueueSelection
from sms_rmq.settings import Settings

_SWEPT_MAX = 1000
_CALLBACKS_AT_ONCE = 100
_SINGLES_AT_ONCE = 10
"""Messages, of which each names up to 100 dispatches. One of a batch queue names one of up to 1,000 recipients."""


def routes(settings: Settings, handler: DispatchHandler, requeue: CallbackRequeue) -> Sequence[Route]:
    """Single and batch queues of the brands and types that this process takes, and callbacks that were put back."""
    selection = QueueSelection(settings.brands, settings.except_brands, settings.types, settings.modes)
    # The row decides how long a message is of use; until a claim succeeds, its queue message comes again.
    retry = RetryPolicy(first_delay_seconds=1, delay_seconds_max=30)
    common = partial(Route, prefix=QUEUE_PREFIX, retry=retry)
    sends = [
        common(
            name="sms-single",
            accepts=selection.of_mode("single"),
            handler=handler.handle_singles,
            concurrency=settings.concurrency,
            batch_max=_SINGLES_AT_ONCE,
        ),
        common(
            name="sms-batch",
            accepts=selection.of_mode("batch"),
            handler=handler.handle_batches,
            concurrency=settings.chunk_concurrency,
        ),
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
