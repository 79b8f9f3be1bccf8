"""Refunds: wanted under the payment's lock, then made by their channels, asked again while nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import IdAllocator
from mesh.messages import NewMessage, Outbox, ReceivedMessage
from order_rpc.payment import refund_storage, refusals, storage
from order_rpc.payment.channels.port import (
    REFUSAL_CHARACTERS_MAX,
    ChannelError,
    Channels,
    MadeRefund,
    RefundOrder,
    RefundRefusedError,
)
from order_rpc.payment.domain import (
    OWN_REFUND,
    Payment,
    PaymentEvent,
    Policy,
    Refund,
    RefundEvent,
    RefundStatus,
)
from order_rpc.payment.passes import Pass
from order_rpc.payment.wishes import RefundWish, read_refund_wish

log = telemetry.logger()


class Refunds:
    """Pays back what businesses want back, and what came too late. All refunds are never more than was paid."""

    def __init__(
        self, database: Database, *, ids: IdAllocator, channels: Channels, outbox: Outbox, policy: Policy
    ) -> None:
        self._database = database
        self._ids = ids
        self._channels = channels
        self._outbox = outbox
        self._policy = policy

    async def want(self, wish: RefundWish) -> Refund:
        """Write a refund, which `make_due` has made; the same request gets what it made.

        Raises PAYMENT_NOT_FOUND, PAYMENT_NOT_PAID, REFUND_TOO_HIGH, KEY_REUSED.
        """
        async with self._database.write() as connection:
            payment = await self._lock(connection, wish)
            known = await self._check(connection, payment, wish)
            return known or await self._write(connection, payment, wish, await self._ids.allocate_within(connection, 1))

    async def refund_wanted(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Write the refunds that businesses want: the effect of payment.refund_wanted."""
        wishes = sorted(
            (read_refund_wish(message) for message in messages),
            key=lambda wish: (wish.business.name, wish.business.business_id, wish.request_id),
        )
        # All locks before the ids: who waits for a payment must not hold the ids that its holder may want.
        for wish in wishes:
            await self._lock(connection, wish)
        first_id = await self._ids.allocate_within(connection, len(wishes))
        for place, wish in enumerate(wishes):
            payment = await self._lock(connection, wish)
            if await self._check(connection, payment, wish) is None:
                await self._write(connection, payment, wish, first_id + place)

    async def _lock(self, connection: AsyncConnection, wish: RefundWish) -> Payment:
        payment = await storage.lock_payment(connection, wish.business)
        if payment is None or payment.is_tombstone:
            raise refusals.payment_of_business_not_found(wish.business)
        return payment

    async def _check(self, connection: AsyncConnection, payment: Payment, wish: RefundWish) -> Refund | None:
        """Answer the refund that this request has made before; None when it is new and can be had."""
        known = await refund_storage.read_refund_of_request(connection, payment.pay_id, wish.request_id)
        if known is not None:
            if (known.request_id, known.amount_fen) != (wish.request_id, wish.amount_fen):
                raise refusals.key_reused(f"request id {wish.request_id}")
            return known
        if not payment.is_paid:
            raise refusals.payment_not_paid(payment)
        if wish.amount_fen > payment.refundable_fen:
            raise refusals.refund_too_high(payment, wish.amount_fen)
        return None

    async def _write(self, connection: AsyncConnection, payment: Payment, wish: RefundWish, refund_id: int) -> Refund:
        refund = Refund(
            refund_id=refund_id,
            pay_id=payment.pay_id,
            channel=payment.channel,
            request_id=wish.request_id,
            status=RefundStatus.PENDING,
            amount_fen=wish.amount_fen,
            remark=wish.remark,
            create_time_ms=await self._database.now_ms(connection),
        )
        await refund_storage.insert_refund(connection, refund)
        await refund_storage.add_refunded(connection, payment.pay_id, wish.amount_fen)
        return refund

    async def make_due(self, refunds_max: int) -> int:
        """Have refunds that are due made by their channels; answer how many were made."""
        one_pass = Pass(refunds_max)
        while limit := one_pass.next_limit():
            claimed = await self._claim(limit)
            if not claimed:
                break
            one_pass.count(claimed, await one_pass.gather(self._make(*one) for one in claimed))
        await self._outbox.publish()
        return one_pass.succeeded

    async def _claim(self, limit: int) -> list[tuple[Payment, Refund]]:
        """Take refunds that are due, and put them off: whoever dies with them leaves them to the next pass."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            due = await refund_storage.read_due_refunds(connection, now_ms=now_ms, limit=limit)
            claimed = [
                refund
                for refund, due_at_ms in due
                if await refund_storage.claim_refund(
                    connection,
                    refund.refund_id,
                    due_at_ms,
                    self._policy.ask_again_at_ms(refund.create_time_ms, now_ms),
                )
            ]
            found = await storage.read_payments_by_id(connection, [refund.pay_id for refund in claimed])
        payments = {payment.pay_id: payment for payment in found}
        return [(payments[refund.pay_id], refund) for refund in claimed]

    async def _make(self, payment: Payment, refund: Refund) -> bool:
        """Ask a channel for one refund; answer whether it is made. The same number makes it happen once there."""
        order = RefundOrder(
            refund.refund_id, payment.pay_id, payment.trade_no, refund.amount_fen, payment.pay_amount_fen, refund.remark
        )
        try:
            made = await self._channels.of(refund.channel).refund(order)
        except RefundRefusedError as error:
            await self._refuse(payment, refund, str(error))
            return False
        except (ChannelError, DomainError) as error:
            log.warning("refund not known", refund_id=refund.refund_id, channel=refund.channel, error=str(error))
            return False
        if made is not None:
            await self._record(payment, refund, made)
        return made is not None

    async def _record(self, payment: Payment, refund: Refund, made: MadeRefund) -> None:
        async with self._database.write() as connection:
            await storage.lock_payment_by_id(connection, payment.pay_id)
            is_news = await refund_storage.move_refund(
                connection,
                refund.refund_id,
                RefundEvent.MAKE,
                refund_no=made.refund_no,
                refund_time_ms=made.refunded_at_ms,
                due_at_ms=0,
            )
            refunds = await refund_storage.read_refunds(connection, payment.pay_id)
            if sum(one.amount_fen for one in refunds if one.status is RefundStatus.MADE) == payment.pay_amount_fen:
                await storage.move_payment(connection, payment.pay_id, PaymentEvent.PAY_BACK)
            if is_news and refund.request_id != OWN_REFUND:
                await self._outbox.add(connection, [_refunded(payment, refund)])
        log.info("refunded", refund_id=refund.refund_id, pay_id=payment.pay_id, amount_fen=refund.amount_fen)

    async def _refuse(self, payment: Payment, refund: Refund, why: str) -> None:
        """Write that a refund will never be made: what it was of may be wanted back again."""
        async with self._database.write() as connection:
            await storage.lock_payment_by_id(connection, payment.pay_id)
            refusal = why[:REFUSAL_CHARACTERS_MAX]
            if await refund_storage.move_refund(
                connection, refund.refund_id, RefundEvent.REFUSE, refusal=refusal, due_at_ms=0
            ):
                await refund_storage.add_refunded(connection, payment.pay_id, -refund.amount_fen)
        log.error("refund refused", refund_id=refund.refund_id, pay_id=payment.pay_id, channel=refund.channel, why=why)


def _refunded(payment: Payment, refund: Refund) -> NewMessage:
    body = {
        "refund_id": str(refund.refund_id),
        "request_id": refund.request_id,
        "amount_fen": refund.amount_fen,
    }
    return NewMessage(payment.business.name, "payment", "refunded", payment.business.business_id, body)
