"""Cancelling orders: by their buyers, or when they were not paid in time. Their payments are closed in either case."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.messages import NewMessage, Outbox
from order_rpc.paid_payments import NEWS_MS_MAX, PaidPayments
from order_rpc.sms_package import storage
from order_rpc.sms_package.clients import BUSINESS
from order_rpc.sms_package.domain import OrderEvent, PaymentEvent


class Cancelling:
    """Moves orders to CANCELLED, and tells the payment service in the same transaction."""

    def __init__(self, database: Database, paid_payments: PaidPayments, outbox: Outbox) -> None:
        self._database = database
        self._paid_payments = paid_payments
        self._outbox = outbox

    async def cancel(self, connection: AsyncConnection, order_ids: Collection[int]) -> int:
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
        """Cancel up to `IN_MAX` orders that were not paid in time; answer how many.

        One that is paid, and has not heard of it, waits for the news. Raises what the payment service does when it is
        away.
        """
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            ids = await storage.overdue_ids(connection, now_ms=now_ms, limit=orders_max)
        paid = await self._paid_payments.find(ids)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            await storage.put_off(connection, paid, now_ms + NEWS_MS_MAX)
            cancelled = await self.cancel(connection, set(ids) - paid.keys())
        await self.publish()
        return cancelled


def _close_wanted(order_id: int) -> NewMessage:
    return NewMessage("payment", "payment", "close_wanted", str(order_id), {"business": BUSINESS})
