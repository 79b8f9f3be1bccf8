"""Cancelling: one winner against paying, and the news of it in the same transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.messages import Outbox, ReceivedMessage
from order_rpc.order import messages, storage
from order_rpc.order.domain import CANCELLED_BY_TIME, UNPAID_STAGES, Order, OrderEvent

REMARK_CHARACTERS_MAX = 500

log = telemetry.logger()


class Cancelling:
    """Cancels orders that are not paid."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def cancel(self, order_id: int, reason: str, remark: str = "") -> None:
        """Cancel an order if it is not paid; a repeat changes nothing."""
        async with self._database.write() as connection:
            locked = await storage.lock_orders(connection, [order_id])
            await self._cancel(connection, locked.values(), reason, remark)
        await self._outbox.publish()

    async def _cancel(
        self, connection: AsyncConnection, locked: Iterable[Order], reason: str, remark: str = ""
    ) -> list[Order]:
        """Cancel those of locked orders that are not paid, and write the news; answer them as they were."""
        some = [order for order in locked if order.stage in UNPAID_STAGES]
        if not some:
            return []
        ids = [order.order_id for order in some]
        cut = remark[:REMARK_CHARACTERS_MAX]
        await storage.move_orders(connection, ids, OrderEvent.CANCEL, cancel_reason=reason, cancel_remark=cut)
        now_ms = await self._database.now_ms(connection)
        await storage.insert_steps(
            connection, [(order_id, OrderEvent.CANCEL.value, reason) for order_id in ids], now_ms
        )
        await self._outbox.add(connection, [one for order in some for one in messages.cancelled(order)])
        log.info("cancelled", orders=ids, reason=reason)
        return some

    async def cancel_overdue(self, orders_max: int) -> int:
        """Cancel orders past their time, which a lost message or an ended process left behind; answer how many."""
        looked_at = cancelled = 0
        while looked_at < orders_max:
            limit = min(orders_max - looked_at, 200)
            async with self._database.write() as connection:
                now_ms = await self._database.now_ms(connection)
                ids = await storage.overdue_ids(connection, UNPAID_STAGES, now_ms=now_ms, limit=limit)
                cancelled += len(await self._cancel_overdue_of(connection, ids))
            looked_at += len(ids)
            if len(ids) < limit:
                break
        await self._outbox.publish()
        return cancelled

    async def time_out(self, connection: AsyncConnection, received: Sequence[ReceivedMessage]) -> None:
        """Cancel what was not paid in time: the effect of order.timeout. One that is early leaves it to the sweep."""
        await self._cancel_overdue_of(connection, {int(message.key) for message in received})

    async def _cancel_overdue_of(self, connection: AsyncConnection, order_ids: Collection[int]) -> list[Order]:
        """Cancel those of the orders that are overdue once they are locked: until then one may have got more time."""
        locked = await storage.lock_orders(connection, order_ids)
        now_ms = await self._database.now_ms(connection)
        overdue = [order for order in locked.values() if order.expire_time_ms <= now_ms]
        return await self._cancel(connection, overdue, CANCELLED_BY_TIME)
