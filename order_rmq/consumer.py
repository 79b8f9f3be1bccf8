"""What this process consumes by itself: what has to leave the services of orders."""

from __future__ import annotations

from mesh.message_queues import queue_of
from mesh.worker import Route
from order_rmq.handlers import PaidOrders

PAID_QUEUE = queue_of("sms_package", "paid", "costcenter")
"""Its messages are not handed on: nothing in the cost center takes messages of orders."""

PAID_BATCH_MAX = 100


def paid_route(handler: PaidOrders) -> Route:
    """The paid orders of packages. They are tried again for ever: what was paid for must be granted."""
    return Route(
        name="paid packages",
        prefix=PAID_QUEUE,
        accepts=lambda queue: queue == PAID_QUEUE,
        handler=handler.handle,
        concurrency=2,
        batch_max=PAID_BATCH_MAX,
    )
