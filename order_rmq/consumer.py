"""What this process consumes, and what it has done by the clock."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.bus.id_messages import IDS_PER_MESSAGE
from mesh.channel import Peer
from mesh.periodic import Periodic
from mesh.worker import Route
from order_rmq.clients import Messages, OrderJobs, WalletJobs
from order_rmq.handlers import PaidOrders
from order_rmq.peers import OrderPeers

PAID_QUEUE = "order.paid"

ORDERS_MAX = 1000
"""Orders that one call of order_rpc takes."""

EVENTS_A_SWEEP = 1000
MESSAGES_A_SWEEP = 1000
FORGOTTEN_A_SWEEP = 5000
CANCELLED_A_SWEEP = 200
EXPIRED_A_SWEEP = 500


def paid_route(handler: PaidOrders) -> Route:
    """The paid events. They are tried again for ever: what was paid for must be granted."""
    return Route(
        name=PAID_QUEUE,
        prefix=PAID_QUEUE,
        accepts=lambda queue: queue == PAID_QUEUE,
        handler=handler.handle,
        concurrency=2,
        batch_max=ORDERS_MAX // IDS_PER_MESSAGE,
    )


def sweeps(orders: OrderJobs, every_seconds: float) -> Sequence[Periodic]:
    """What is overdue: events that were not published or got lost, and orders that nobody paid."""

    async def publish_paid_events() -> None:
        await orders.publish_paid_events(EVENTS_A_SWEEP)

    async def cancel_overdue_orders() -> None:
        await orders.cancel_overdue_orders(CANCELLED_A_SWEEP)

    return [
        Periodic("publish paid events", publish_paid_events, every_seconds),
        Periodic("cancel overdue orders", cancel_overdue_orders, every_seconds),
    ]


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
