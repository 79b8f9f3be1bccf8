"""Cancelling orders: by their buyers, or when they were not paid in time. Their payments are closed in either case."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.messages import NewMessage, Outbox
from mesh.statements import IN_MAX
from order_rpc.sms_package import storage
from order_rpc.sms_package.clients import BUSINESS
from order_rpc.sms_package.domain import OrderEvent, PaymentEvent


class Cancelling:
    """Moves orders to CANCELLED, and tells the payment service in the same transaction."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def cancel(self, connection: AsyncConnection, order_ids: Sequence[int]) -> int:
        """Cancel those of up to `IN_MAX` orders that are not paid; answer how many. `publish` has to follow.

        The payment service is told of those without a payment too: one may be about to be opened.
        """
        orders = await storage.lock_orders(connection, order_ids)
        unpaid = [order.order_id for order in orders if order.is_unpaid]
        moved = await storage.move_orders(connection, unpaid, OrderEvent.CANCEL)
        await storage.move_payments(connection, unpaid, PaymentEvent.CLOSE)
        await self._outbox.add(connection, [_close_wanted(order_id) for order_id in unpaid])
        return moved

    async def publish(self) -> None:
        """Tell the payment service of what was cancelled until now."""
        await self._outbox.publish()

    async def cancel_overdue(self, orders_max: int) -> int:
        """Cancel up to `orders_max` orders that were not paid in time; answer how many."""
        cancelled = 0
        while cancelled < orders_max:
            async with self._database.write() as connection:
                now_ms = await self._database.now_ms(connection)
                limit = min(orders_max - cancelled, IN_MAX)
                moved = await self.cancel(connection, await storage.overdue_ids(connection, now_ms=now_ms, limit=limit))
            if not moved:
                break
            cancelled += moved
        await self.publish()
        return cancelled


def _close_wanted(order_id: int) -> NewMessage:
    return NewMessage("payment", "payment", "close_wanted", str(order_id), {"business": BUSINESS})
