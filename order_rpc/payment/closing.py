"""Closing payments: here first, so that whatever comes from then on goes back, then at their channels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import IdAllocator
from mesh.messages import ReceivedMessage
from order_rpc.payment import storage, tables
from order_rpc.payment.channels.port import ChannelError, Channels
from order_rpc.payment.domain import Business, Payment, PaymentEvent, PaymentStatus, Policy
from order_rpc.payment.passes import Pass
from order_rpc.payment.taking import Taking
from order_rpc.payment.wishes import read_business

log = telemetry.logger()


class Closing:
    """Closes payments for their businesses, and remembers those that have none."""

    def __init__(
        self, database: Database, *, ids: IdAllocator, channels: Channels, taking: Taking, policy: Policy
    ) -> None:
        self._database = database
        self._ids = ids
        self._channels = channels
        self._taking = taking
        self._policy = policy

    async def close(self, business: Business) -> Payment | None:
        """Close the payment of a business; None where there was none, and will be none. A repeat answers the same.

        When its channel cannot be reached it is closed there later; money that comes until then goes back.
        """
        async with self._database.write() as connection:
            await self._close_all(connection, [business])
            payment = await storage.read_payment(connection, business)
        if payment is not None and payment.close_due_at_ms:
            await self.close_at_channel(payment)
            async with self._database.read() as connection:
                payment = await storage.read_payment(connection, business)
        return None if payment is None or payment.is_tombstone else payment

    async def close_wanted(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Close payments here, and let `close_due` reach their channels: the effect of payment.close_wanted."""
        await self._close_all(connection, {read_business(message) for message in messages})

    async def _close_all(self, connection: AsyncConnection, businesses: Collection[Business]) -> None:
        now_ms = await self._database.now_ms(connection)
        wanted = sorted(businesses, key=lambda one: (one.name, one.business_id))
        unknown = [one for one in wanted if await storage.lock_payment(connection, one) is None]
        if unknown:
            first_id = await self._ids.allocate_within(connection, len(unknown))
            tombstones = [
                Payment(first_id + place, business, 0, "", PaymentStatus.CLOSED, 0, "", now_ms)
                for place, business in enumerate(unknown)
            ]
            rows = [storage.payment_row(tombstone) for tombstone in tombstones]
            await self._database.insert_ignore(connection, tables.payment, rows)
        for business in wanted:
            payment = await storage.lock_payment(connection, business)
            if payment is not None:
                await storage.move_payment(
                    connection, payment.pay_id, PaymentEvent.CLOSE, close_due_at_ms=now_ms, close_time_ms=now_ms
                )

    async def close_due(self, payments_max: int) -> int:
        """Close at their channels what is closed here; answer how many were closed there."""
        one_pass = Pass(payments_max)
        while limit := one_pass.next_limit():
            claimed = await self._claim(limit)
            if not claimed:
                break
            one_pass.count(claimed, await one_pass.gather(self.close_at_channel(payment) for payment in claimed))
        return one_pass.succeeded

    async def _claim(self, limit: int) -> list[Payment]:
        """Take payments that are due, and put them off: whoever dies with them leaves them to the next pass."""
        claimed = []
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            due = await storage.read_due_closes(connection, now_ms=now_ms, limit=limit)
            # In the order in which `close_wanted` locks them.
            for payment, closed_at_ms in sorted(
                due, key=lambda one: (one[0].business.name, one[0].business.business_id)
            ):
                again_at_ms = self._policy.ask_again_at_ms(closed_at_ms, now_ms)
                if await storage.move_close(connection, payment, again_at_ms):
                    claimed.append(replace(payment, close_due_at_ms=again_at_ms))
        return claimed

    async def close_at_channel(self, payment: Payment) -> bool:
        """Close one payment at its channel; answer whether that is done. One that was paid there is taken."""
        try:
            receipt = await self._channels.of(payment.channel).close(payment.pay_id)
            if receipt is not None:
                await self._taking.take(payment.pay_id, payment.channel, receipt)
        except (ChannelError, DomainError) as error:
            log.warning("payment left open", pay_id=payment.pay_id, channel=payment.channel, error=str(error))
            return False
        async with self._database.write() as connection:
            # Not if it is due anew: the channel may have learnt of it only now.
            await storage.move_close(connection, payment, 0)
        return True
