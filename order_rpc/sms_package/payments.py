"""Payments: opened at the channel, told of by its notifications, closed with their order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError, invalid_field
from mesh.ids import IdAllocator
from order_rpc.sms_package import refusals, storage
from order_rpc.sms_package.channels.port import (
    ChannelError,
    NoReceiptError,
    OpenedPayment,
    PaymentChannel,
    Receipt,
    WrongSignatureError,
)
from order_rpc.sms_package.domain import CURRENCY, Order, OrderEvent, OrderStatus, Payment, PaymentEvent, PaymentStatus
from order_rpc.sms_package.paid_events import PaidEvents

_PAYMENT_ID = re.compile(r"[0-9]{1,18}")

log = telemetry.logger()


class Payments:
    """The payments of orders. Nothing of the database is held while the channel is called."""

    def __init__(self, database: Database, ids: IdAllocator, channel: PaymentChannel, events: PaidEvents) -> None:
        self._database = database
        self._ids = ids
        self._channel = channel
        self._events = events

    async def open(self, brand_id: int, order_id: int) -> Payment:
        """Open the payment of an order, or go on with it where the last call stopped.

        The row is written first, so that money can only come for a payment that is known. Raises ORDER_NOT_FOUND,
        ORDER_NOT_PAYABLE, PAYMENT_CHANNEL_UNAVAILABLE.
        """
        order, payment = await self._prepare(brand_id, order_id)
        if payment.pay_url:
            return payment
        subject = f"{order.package.title} x {order.quantity}"
        try:
            opened = await self._channel.open(payment.payment_id, payment.amount_fen, subject)
        except ChannelError as error:
            log.warning("payment not opened", payment_id=payment.payment_id, error=str(error))
            raise refusals.payment_channel_unavailable() from error
        return await self._record(payment.payment_id, opened)

    async def notify(self, fields: Mapping[str, str]) -> Payment:
        """Take a notification of the channel; a repeat changes nothing and answers the same.

        Raises PAYMENT_SIGNATURE_WRONG, INVALID_REQUEST, PAYMENT_NOT_FOUND, PAYMENT_AMOUNT_WRONG, ORDER_CANCELLED.
        """
        try:
            receipt = self._channel.read_notification(fields)
        except WrongSignatureError as error:
            raise refusals.payment_signature_wrong() from error
        except NoReceiptError as error:
            raise invalid_field(f"fields[{error.field}]", error.description) from error
        order, payment = await self._take(receipt)
        if order.status is OrderStatus.CANCELLED:
            raise refusals.order_cancelled(order, payment)
        return payment

    async def close_at_channel(self, payments: Sequence[Payment]) -> None:
        """Close payments of cancelled orders at the channel too, so that no money comes for them.

        When that fails they stay open there: money that comes is then to be refunded. One that turns out to be paid
        is taken as if the channel had told of it.
        """
        for position, payment in enumerate(payments):
            try:
                receipt = await self._channel.close(payment.payment_id)
                if receipt is not None:
                    await self._take(receipt)
            except (ChannelError, DomainError) as error:
                # The others would most likely wait for the same time-out.
                left = len(payments) - position
                log.warning("payments left open", payment_id=payment.payment_id, left=left, error=str(error))
                return

    async def _prepare(self, brand_id: int, order_id: int) -> tuple[Order, Payment]:
        """Answer the order and its payment, which is written if there is none."""
        payment_id = await self._ids.allocate(1)
        async with self._database.write() as connection:
            # Whoever cancels the order now does it before, and is seen, or after, and closes the payment.
            await storage.lock_order(connection, order_id)
            order = await storage.read_order(connection, order_id)
            now_ms = await self._database.now_ms(connection)
            if order is None or order.brand_id != brand_id:
                raise refusals.order_not_found(order_id)
            if not order.is_payable(now_ms):
                raise refusals.order_not_payable(order)
            payment = order.payment
            if payment is None:
                payment = Payment(payment_id, order_id, PaymentStatus.PENDING, order.amount_fen)
                await storage.insert_payment(connection, payment, now_ms)
        return order, payment

    async def _record(self, payment_id: int, opened: OpenedPayment) -> Payment:
        """Write where to pay. Raises ORDER_NOT_PAYABLE when the order was paid or cancelled meanwhile."""
        async with self._database.write() as connection:
            await storage.record_opened(connection, payment_id, trade_no=opened.trade_no, pay_url=opened.pay_url)
            order, payment = await _read(connection, payment_id)
        if payment.status is PaymentStatus.PENDING:
            return payment
        if order.status is OrderStatus.CANCELLED:
            await self.close_at_channel([payment])
        raise refusals.order_not_payable(order)

    async def _take(self, receipt: Receipt) -> tuple[Order, Payment]:
        """Take money that came: order, payment and event in one transaction, then the event is published.

        Raises PAYMENT_NOT_FOUND, PAYMENT_AMOUNT_WRONG.
        """
        payment_id = _number(receipt.payment_id)
        async with self._database.write() as connection:
            order, payment = await _read(connection, payment_id)
            _check_amount(payment, receipt)
            now_ms = await self._database.now_ms(connection)
            ids = [order.order_id]
            is_news = await storage.move_orders(connection, ids, OrderEvent.PAY, paid_at_ms=now_ms) > 0
            await storage.move_payments(
                connection, ids, PaymentEvent.PAY, trade_no=receipt.trade_no, paid_at_ms=receipt.paid_at_ms
            )
            if is_news:
                await storage.insert_event(connection, order.order_id, now_ms)
            order, payment = await _read(connection, payment_id)
        log.info("money came", payment_id=payment_id, payment=payment.status, order=order.status, is_news=is_news)
        if payment.status is PaymentStatus.REFUND_DUE:
            log.error("money is to be paid back", payment_id=payment_id, amount_fen=payment.amount_fen)
        if is_news:
            await self._events.publish_quietly(order.order_id, now_ms)
        return order, payment


async def _read(connection: AsyncConnection, payment_id: int) -> tuple[Order, Payment]:
    order = await storage.read_order_of_payment(connection, payment_id)
    if order is None or order.payment is None:
        raise refusals.payment_not_found(str(payment_id))
    return order, order.payment


def _number(payment_id: str) -> int:
    """Read an id that a channel sent back. One that is no number was not given by this service."""
    if not _PAYMENT_ID.fullmatch(payment_id):
        raise refusals.payment_not_found(payment_id)
    return int(payment_id)


def _check_amount(payment: Payment, receipt: Receipt) -> None:
    expected, got = f"{payment.amount_fen} fen {CURRENCY}", f"{receipt.amount_fen} fen {receipt.currency}"
    if expected != got:
        log.error("wrong amount", payment_id=payment.payment_id, trade_no=receipt.trade_no, expected=expected, got=got)
        raise refusals.payment_amount_wrong(payment.payment_id, expected=expected, got=got)
