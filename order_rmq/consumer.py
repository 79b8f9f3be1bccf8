"""What this process consumes, and what it has done by the clock."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.channel import Peer
from mesh.message_queues import queue_of
from mesh.periodic import Periodic
from mesh.worker import Route
from order_rmq.clients import Messages, OrderJobs, Orders, WalletJobs
from order_rmq.handlers import PaidOrders
from order_rmq.peers import OrderPeers

PAID_QUEUE = queue_of("sms_package", "paid", "costcenter")
"""The one queue of messages that is not handed on: nothing in the cost center takes messages of orders."""

PAID_BATCH_MAX = 100

MESSAGES_A_SWEEP = 1000
FORGOTTEN_A_SWEEP = 5000
CANCELLED_A_SWEEP = 200
EXPIRED_A_SWEEP = 500


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


def sweeps(orders: OrderJobs, every_seconds: float) -> Sequence[Periodic]:
    """Orders of packages that nobody paid in time."""
    return [Periodic("cancel overdue orders", lambda: orders.cancel_overdue_orders(CANCELLED_A_SWEEP), every_seconds)]


def order_sweeps(orders: Orders, every_seconds: float) -> Sequence[Periodic]:
    """Orders of users that were not confirmed or paid in time, where the message that says so is lost."""
    return [Periodic("cancel overdue orders of users", lambda: orders.cancel_overdue(CANCELLED_A_SWEEP), every_seconds)]


def wallet_sweeps(wallets: WalletJobs, every_seconds: float) -> Sequence[Periodic]:
    """Recharges that nobody paid in time."""
    return [Periodic("expire recharges", lambda: wallets.expire_recharges(EXPIRED_A_SWEEP), every_seconds)]


def message_sweeps(peers: OrderPeers, every_seconds: float) -> Sequence[Periodic]:
    """Messages that were written and not published, or published and lost, and those that nobody asks for any more."""
    return [sweep for peer in peers.all() for sweep in _message_sweeps(peer, every_seconds)]


def _message_sweeps(peer: Peer, every_seconds: float) -> Sequence[Periodic]:
    messages = Messages(peer)
    return [
        Periodic(f"publish messages of {peer.name}", lambda: messages.publish(MESSAGES_A_SWEEP), every_seconds),
        Periodic(f"forget messages of {peer.name}", lambda: messages.forget(FORGOTTEN_A_SWEEP), every_seconds),
    ]
