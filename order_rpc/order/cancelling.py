"""Cancelling: one winner against paying, and the news of it in the same transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.messages import Outbox, ReceivedMessage
from order_rpc.order import messages, storage
from order_rpc.order.domain import (
    CANCELLED_BY_TIME,
    PAYING,
    UNOPENED_STAGES,
    UNPAID_STAGES,
    Order,
    OrderEvent,
    Stage,
)
from order_rpc.paid_payments import NEWS_MS_MAX, PaidPayments

REMARK_CHARACTERS_MAX = 500

log = telemetry.logger()


class Cancelling:
    """Cancels orders that are not paid."""

    def __init__(self, database: Database, paid_payments: PaidPayments, outbox: Outbox) -> None:
        self._database = database
        self._paid_payments = paid_payments
        self._outbox = outbox

    async def cancel(self, order_id: int, reason: str, remark: str = "") -> None:
        """Cancel an order if it is not paid; a repeat changes nothing."""
        async with self._database.write() as connection:
            locked = await storage.lock_orders(connection, [order_id])
            await self._cancel(connection, locked.values(), reason, remark)
        await self._outbox.publish()

    async def _cancel(self, connection: AsyncConnection, locked: Iterable[Order], reason: str, remark: str = "") -> int:
        """Cancel those of locked orders that are not paid, and write the news; answer how many."""
        some = [order for order in locked if order.stage in UNPAID_STAGES]
        if not some:
            return 0
        ids = [order.order_id for order in some]
        cut = remark[:REMARK_CHARACTERS_MAX]
        await storage.move_orders(connection, ids, OrderEvent.CANCEL, cancel_reason=reason, cancel_remark=cut)
        now_ms = await self._database.now_ms(connection)
        await storage.insert_steps(
            connection, [(order_id, OrderEvent.CANCEL.value, reason) for order_id in ids], now_ms
        )
        await self._outbox.add(connection, [one for order in some for one in messages.cancelled(order)])
        log.info("cancelled", orders=ids, reason=reason)
        return len(some)

    async def cancel_overdue(self, orders_max: int) -> int:
        """Cancel orders past their time, which a lost message or an ended process left behind; answer how many.

        One whose payment is open is cancelled only where the payment service says that it is not paid: the news may be
        on its way for longer than the order had left. Raises what that service does when it is away.
        """
        cancelled = await self._cancel_unopened(orders_max)
        try:
            return cancelled + await self._cancel_unpaid(orders_max - cancelled)
        finally:
            await self._outbox.publish()

    async def _cancel_unopened(self, orders_max: int) -> int:
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            ids = await storage.overdue_ids(connection, UNOPENED_STAGES, now_ms=now_ms, limit=orders_max)
            return await self._cancel_overdue_of(connection, ids, UNOPENED_STAGES)

    async def _cancel_unpaid(self, orders_max: int) -> int:
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            ids = await storage.overdue_ids(connection, [PAYING], now_ms=now_ms, limit=orders_max)
        paid = await self._paid_payments.find(ids)
        async with self._database.write() as connection:
            await self._wait_for_news(connection, paid)
            return await self._cancel_overdue_of(connection, set(ids) - paid.keys(), [PAYING])

    async def _wait_for_news(self, connection: AsyncConnection, order_ids: Collection[int]) -> None:
        """Put the end of orders off that are paid, and have not heard of it."""
        now_ms = await self._database.now_ms(connection)
        locked = await storage.lock_orders(connection, order_ids)
        waiting = [order.order_id for order in locked.values() if order.stage == PAYING]
        await storage.put_off(connection, waiting, now_ms + NEWS_MS_MAX)

    async def time_out(self, connection: AsyncConnection, received: Sequence[ReceivedMessage]) -> None:
        """Cancel what was not paid in time: the effect of order.timeout.

        The sweep ends one that is early, and one whose payment is open: that has to be asked after.
        """
        await self._cancel_overdue_of(connection, {int(message.key) for message in received}, UNOPENED_STAGES)

    async def _cancel_overdue_of(
        self, connection: AsyncConnection, order_ids: Collection[int], stages: Collection[Stage]
    ) -> int:
        """Cancel those of the orders that are overdue, and in `stages`, once they are locked; answer how many.

        Until then one may have got more time, or a payment.
        """
        locked = await storage.lock_orders(connection, order_ids)
        now_ms = await self._database.now_ms(connection)
        overdue = [order for order in locked.values() if order.expire_time_ms <= now_ms and order.stage in stages]
        return await self._cancel(connection, overdue, CANCELLED_BY_TIME)
