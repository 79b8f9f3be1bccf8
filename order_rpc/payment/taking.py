"""Taking money that came: its business hears of it, unless it wants none any more."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.ids import IdAllocator
from mesh.messages import NewMessage, Outbox
from order_rpc.payment import refund_storage, refusals, storage
from order_rpc.payment.channels.port import Receipt
from order_rpc.payment.domain import (
    CURRENCY,
    OWN_REFUND,
    IsPaid,
    Payment,
    PaymentEvent,
    PaymentStatus,
    Refund,
    RefundStatus,
)

_LATE = "came after the payment was closed"

log = telemetry.logger()


class Taking:
    """What a receipt does, from whichever call of a channel it is."""

    def __init__(self, database: Database, ids: IdAllocator, outbox: Outbox) -> None:
        self._database = database
        self._ids = ids
        self._outbox = outbox

    async def take(self, pay_id: int, channel: str, receipt: Receipt) -> Payment:
        """Take money: the payment and the message of it in one transaction. A repeat changes nothing.

        Raises PAYMENT_NOT_FOUND, PAYMENT_AMOUNT_WRONG.
        """
        async with self._database.write() as connection:
            # Of two notifications at once the second sees what the first has written.
            payment = await storage.lock_payment_by_id(connection, pay_id)
            if payment is None or payment.channel != channel:
                raise refusals.payment_not_found(str(pay_id))
            _check_amount(payment, receipt)
            is_news = await self._pay(connection, payment, receipt)
            payment = await storage.lock_payment_by_id(connection, pay_id) or payment
        if is_news:
            log.info("money came", pay_id=pay_id, channel=channel, status=payment.status)
            await self._outbox.publish()
        return payment

    async def _pay(self, connection: AsyncConnection, payment: Payment, receipt: Receipt) -> bool:
        """Move a locked payment on; answer whether the money is news."""
        moved = await storage.move_payment(
            connection,
            payment.pay_id,
            PaymentEvent.PAY,
            is_paid=int(IsPaid.YES),
            trade_no=receipt.trade_no,
            pay_time_ms=receipt.paid_at_ms,
            close_due_at_ms=0,
        )
        if moved and payment.status is PaymentStatus.CLOSED:
            await self._give_back(connection, payment)
        elif moved:
            await self._outbox.add(connection, [_paid(payment, receipt)])
        return moved

    async def _give_back(self, connection: AsyncConnection, payment: Payment) -> None:
        """Want a refund of all of it."""
        now_ms = await self._database.now_ms(connection)
        refund = Refund(
            refund_id=await self._ids.allocate_within(connection, 1),
            pay_id=payment.pay_id,
            channel=payment.channel,
            request_id=OWN_REFUND,
            status=RefundStatus.PENDING,
            amount_fen=payment.pay_amount_fen,
            remark=_LATE,
            create_time_ms=now_ms,
        )
        await refund_storage.insert_refund(connection, refund)
        await refund_storage.add_refunded(connection, payment.pay_id, refund.amount_fen)


def _paid(payment: Payment, receipt: Receipt) -> NewMessage:
    body = {
        "pay_id": str(payment.pay_id),
        "amount_fen": payment.pay_amount_fen,
        "paid_at_ms": receipt.paid_at_ms,
        "trade_no": receipt.trade_no,
    }
    return NewMessage(payment.business.name, "payment", "paid", payment.business.business_id, body)


def _check_amount(payment: Payment, receipt: Receipt) -> None:
    expected, got = f"{payment.pay_amount_fen} fen {CURRENCY}", f"{receipt.amount_fen} fen {receipt.currency}"
    if expected != got:
        log.error("wrong amount", pay_id=payment.pay_id, trade_no=receipt.trade_no, expected=expected, got=got)
        raise refusals.payment_amount_wrong(payment.pay_id, expected=expected, got=got)
