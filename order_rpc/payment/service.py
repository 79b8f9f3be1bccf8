"""Payments: opened at a channel, told of by it, asked after. No transaction is open while a channel is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mesh import telemetry
from mesh.database import Database
from mesh.errors import invalid_field
from mesh.ids import IdAllocator
from order_rpc.payment import refund_storage, refusals, storage, tables
from order_rpc.payment.channels.port import (
    ChannelError,
    Channels,
    NoReceiptError,
    Notification,
    OpenedPayment,
    WrongSignatureError,
)
from order_rpc.payment.closing import Closing
from order_rpc.payment.domain import Business, Payment, PaymentStatus, Refund
from order_rpc.payment.taking import Taking

_PAY_ID = re.compile(r"[0-9]{1,18}", re.ASCII)

log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment that a business wants. Amount in fen; no channel is the first that is set up."""

    business: Business
    brand_id: int
    pay_amount_fen: int
    subject: str
    channel: str


class Payments:
    """The use cases of those who want money, and of the channels that bring it."""

    def __init__(
        self, database: Database, *, ids: IdAllocator, channels: Channels, taking: Taking, closing: Closing
    ) -> None:
        self._database = database
        self._ids = ids
        self._channels = channels
        self._taking = taking
        self._closing = closing

    async def open(self, wanted: NewPayment) -> Payment:
        """Open the payment of a business, or go on with it where the last call stopped.

        The row is written first, so that money can only come for a payment that is known. Raises PAYMENT_CLOSED,
        KEY_REUSED, PAYMENT_CHANNEL_UNKNOWN, PAYMENT_CHANNEL_UNAVAILABLE.
        """
        payment, now_ms = await self._prepare(wanted)
        channel = self._channels.of(payment.channel)
        if payment.is_paid or payment.has_pay_url(now_ms, channel.pay_url_lifetime_ms):
            return payment
        try:
            opened = await channel.open(payment.pay_id, payment.pay_amount_fen, payment.subject)
        except ChannelError as error:
            log.warning("payment not opened", pay_id=payment.pay_id, channel=payment.channel, error=str(error))
            raise refusals.channel_unavailable(payment.channel) from error
        return await self._record(payment, opened)

    async def _prepare(self, wanted: NewPayment) -> tuple[Payment, int]:
        """Answer the payment of a business, which is written if there is none, and the time."""
        channel = self._channels.name_of(wanted.channel)
        pay_id = await self._ids.allocate(1)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            new = Payment(
                pay_id, wanted.business, wanted.brand_id, channel, PaymentStatus.PENDING, wanted.pay_amount_fen,
                wanted.subject, now_ms,
            )  # fmt: skip
            await self._database.insert_ignore(connection, tables.payment, [storage.payment_row(new)])
            payment = await storage.read_payment(connection, wanted.business)
        if payment is None:
            raise refusals.key_reused(f"{wanted.business.name} {wanted.business.business_id}")
        if payment.status in {PaymentStatus.CLOSED, PaymentStatus.REFUNDING}:
            raise refusals.payment_closed(wanted.business)
        if not _is_wanted(payment, wanted):
            raise refusals.key_reused(f"{wanted.business.name} {wanted.business.business_id}")
        return payment, now_ms

    async def _record(self, payment: Payment, opened: OpenedPayment) -> Payment:
        """Write where to pay. Raises PAYMENT_CLOSED when the business has closed it meanwhile."""
        async with self._database.write() as connection:
            now = await storage.lock_payment_by_id(connection, payment.pay_id) or payment
            values: dict[str, object] = {"pay_url": opened.pay_url, "trade_no": now.trade_no or opened.trade_no}
            if now.status is PaymentStatus.CLOSED:
                # The channel may have been asked to close it before it knew of it.
                values |= {"close_due_at_ms": await self._database.now_ms(connection)}
            await storage.update_payment(connection, payment.pay_id, **values)
            now = await storage.lock_payment_by_id(connection, payment.pay_id) or now
        if now.status is PaymentStatus.CLOSED:
            await self._closing.close_at_channel(now)
            raise refusals.payment_closed(now.business)
        return now

    async def get(self, business: Business) -> tuple[Payment, Sequence[Refund]]:
        """Read the payment of a business with its refunds. Raises PAYMENT_NOT_FOUND."""
        async with self._database.read() as connection:
            payment = await storage.read_payment(connection, business)
            if payment is None or payment.is_tombstone:
                raise refusals.payment_of_business_not_found(business)
            return payment, await refund_storage.read_refunds(connection, payment.pay_id)

    async def query(self, business: Business) -> tuple[Payment, Sequence[Refund]]:
        """Ask the channel, and take what it says as if it had notified.

        Raises PAYMENT_NOT_FOUND, PAYMENT_AMOUNT_WRONG, PAYMENT_CHANNEL_UNAVAILABLE.
        """
        payment, _ = await self.get(business)
        try:
            receipt = await self._channels.of(payment.channel).query(payment.pay_id)
        except ChannelError as error:
            log.warning("payment not queried", pay_id=payment.pay_id, channel=payment.channel, error=str(error))
            raise refusals.channel_unavailable(payment.channel) from error
        if receipt is not None:
            await self._taking.take(payment.pay_id, payment.channel, receipt)
        return await self.get(business)

    async def notify(self, channel: str, notification: Notification) -> Payment:
        """Take a channel's notification; a repeat changes nothing and answers the same.

        Raises PAYMENT_CHANNEL_UNKNOWN, PAYMENT_SIGNATURE_WRONG, INVALID_REQUEST, PAYMENT_NOT_FOUND,
        PAYMENT_AMOUNT_WRONG.
        """
        name = self._channels.name_of(channel)
        try:
            receipt = self._channels.of(name).read_notification(notification)
        except WrongSignatureError as error:
            raise refusals.payment_signature_wrong() from error
        except NoReceiptError as error:
            raise invalid_field(f"fields[{error.field}]", error.description) from error
        if not _PAY_ID.fullmatch(receipt.pay_id):
            # One that is no number was not given by this service.
            raise refusals.payment_not_found(receipt.pay_id)
        return await self._taking.take(int(receipt.pay_id), name, receipt)


def _is_wanted(payment: Payment, wanted: NewPayment) -> bool:
    """Tell whether a payment is the one that a request asks for. A database may take two ids as one."""
    same_channel = not wanted.channel or payment.channel == wanted.channel
    return same_channel and (payment.business, payment.brand_id, payment.pay_amount_fen, payment.subject) == (
        wanted.business,
        wanted.brand_id,
        wanted.pay_amount_fen,
        wanted.subject,
    )
