"""What order_rmq has done: grants recorded, overdue orders cancelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from mesh import telemetry
from mesh.database import Database
from order_rpc.sms_package import storage
from order_rpc.sms_package.domain import Order, OrderEvent, OrderStatus, Payment, PaymentEvent, PaymentStatus
from order_rpc.sms_package.payments import Payments
from order_rpc.sms_package.refusals import grant_refused

log = telemetry.logger()


class Jobs:
    """Work that comes from queues and clocks."""

    def __init__(self, database: Database, payments: Payments) -> None:
        self._database = database
        self._payments = payments

    async def paid_orders(self, order_ids: Sequence[int]) -> list[Order]:
        """Read those of the orders that are paid and not granted."""
        async with self._database.read() as connection:
            orders = await storage.read_orders(connection, sorted(set(order_ids)))
        return [order for order in orders if order.status is OrderStatus.PAID]

    async def record_grants(self, lots: Mapping[int, str]) -> None:
        """Record grants as order_id -> lot_id; a repeat changes nothing. One that is refused lets none be recorded.

        Raises GRANT_REFUSED for an order that is not there or not paid, or was granted as another lot.
        """
        async with self._database.write() as connection:
            remaining = iter(lots.items())
            while chunk := dict(islice(remaining, storage.IN_MAX)):
                await storage.record_grants(connection, chunk)
            orders = {order.order_id: order for order in await storage.read_orders(connection, list(lots))}
            for order_id, lot_id in lots.items():
                _check_granted(order_id, lot_id, orders.get(order_id))

    async def cancel_overdue(self, orders_max: int) -> int:
        """Cancel up to `orders_max` orders that were not paid in time; answer how many."""
        cancelled = 0
        payments: list[Payment] = []
        left = orders_max
        while left > 0:
            found, moved, closed = await self._cancel_some(min(left, storage.IN_MAX))
            if not found:
                break
            left -= found
            cancelled += moved
            payments += closed
        await self._payments.close_at_channel(payments)
        return cancelled

    async def _cancel_some(self, limit: int) -> tuple[int, int, list[Payment]]:
        """Cancel some in one transaction; answer how many were overdue, how many cancelled, and what was closed."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            ids = await storage.overdue_ids(connection, now_ms=now_ms, limit=limit)
            # Money may have come since they were read: those stay as they are, their payments too.
            moved = await storage.move_orders(connection, ids, OrderEvent.CANCEL)
            await storage.move_payments(connection, ids, PaymentEvent.CLOSE)
            payments = [order.payment for order in await storage.read_orders(connection, ids) if order.payment]
        return len(ids), moved, [payment for payment in payments if payment.status is PaymentStatus.CLOSED]


def _check_granted(order_id: int, lot_id: str, order: Order | None) -> None:
    if order is None:
        raise grant_refused(order_id, lot_id, "there is no such order")
    if order.status is not OrderStatus.FULFILLED:
        raise grant_refused(order_id, lot_id, f"it is {order.status}")
    if order.lot_id != lot_id:
        raise grant_refused(order_id, lot_id, f"it was granted as lot {order.lot_id}")
