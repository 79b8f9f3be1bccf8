"""Payments, their refunds, and their states, whichever merchant's API asks for them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.clock import now_ms
from sandbox.payment.errors import PaymentError
from sandbox.push import Push


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    NOTPAY = "NOTPAY"  # the payer acts next
    SUCCESS = "SUCCESS"  # done; the merchant is notified
    CLOSED = "CLOSED"  # done; can no longer be paid


@dataclass(frozen=True, slots=True)
class Order:
    """What a merchant wants paid: `amount` in fen; `notify_url` "" for the channel's default."""

    merchant_id: str
    out_trade_no: str
    amount: int
    currency: str
    subject: str
    notify_url: str = ""


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund that was made, by the numbers of both sides."""

    refund_no: str
    out_refund_no: str
    out_trade_no: str
    amount: int
    refunded_at_ms: int


@dataclass(slots=True)
class Payment:
    """A payment. `paid_at_ms` is 0 until paid; `notifications` are the attempts made."""

    trade_no: str
    order: Order
    pay_url: str
    created_at_ms: int
    status: PaymentStatus = PaymentStatus.NOTPAY
    paid_at_ms: int = 0
    notifications: list[Push] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)

    @property
    def refunded(self) -> int:
        """What was paid back, in fen."""
        return sum(refund.amount for refund in self.refunds)


class PaymentBook:
    """The last `capacity` payments of a channel, by the numbers of both sides, with their refunds."""

    def __init__(self, capacity: int, pay_path: str) -> None:
        """Bound the payments kept. `pay_path` is where the payer's pages are, for example "/pay"."""
        self._capacity = capacity
        self._pay_path = pay_path
        self._by_trade_no: dict[str, Payment] = {}
        self._by_out_trade_no: dict[str, Payment] = {}
        self._refunds: dict[str, Refund] = {}
        self._numbers = itertools.count(1)

    def __iter__(self) -> Iterator[Payment]:
        """Iterate over the payments kept, the oldest first."""
        return iter(self._by_trade_no.values())

    def latest(self, before: int) -> Iterator[Payment]:
        """Iterate over the payments kept, the newest first; of those before a trade_no, or all where it is 0."""
        newest = reversed(self._by_trade_no.values())
        return (payment for payment in newest if not before or int(payment.trade_no) < before)

    def create(self, order: Order, origin: str) -> Payment:
        """Open a payment, or return the one that the same order has opened.

        Raises:
            PaymentError: OUT_TRADE_NO_USED when another order has used the number.

        """
        known = self._by_out_trade_no.get(order.out_trade_no)
        if known is not None:
            if known.order == order:
                return known
            raise PaymentError("OUT_TRADE_NO_USED", "outTradeNo: used by a payment with other fields", 409)
        at_ms = now_ms()
        trade_no = self._next_number(at_ms)
        payment = Payment(trade_no, order, f"{origin}{self._pay_path}/{trade_no}", at_ms)
        self._keep(payment)
        return payment

    def by_out_trade_no(self, out_trade_no: str) -> Payment:
        """Find a payment by the merchant's number; PaymentError ORDER_NOT_FOUND when there is none."""
        return _found(self._by_out_trade_no.get(out_trade_no))

    def by_trade_no(self, trade_no: str) -> Payment:
        """Find a payment by the channel's number; PaymentError ORDER_NOT_FOUND when there is none."""
        return _found(self._by_trade_no.get(trade_no))

    def refund(self, out_trade_no: str, out_refund_no: str, amount: int, at_ms: int) -> Refund:
        """Pay back a part of a payment, or return the refund that the same request has made.

        Raises:
            PaymentError: ORDER_NOT_FOUND, ORDER_NOT_PAID, OUT_REFUND_NO_USED for another request of this number,
                REFUND_TOO_HIGH when more would be paid back than was paid.

        """
        payment = self.by_out_trade_no(out_trade_no)
        known = self._refunds.get(out_refund_no)
        if known is not None:
            if (known.out_trade_no, known.amount) == (out_trade_no, amount):
                return known
            raise PaymentError("OUT_REFUND_NO_USED", "outRefundNo: used by a refund with other fields", 409)
        if payment.status is not PaymentStatus.SUCCESS:
            raise PaymentError("ORDER_NOT_PAID", "the payment is not paid", 409)
        if payment.refunded + amount > payment.order.amount:
            raise PaymentError("REFUND_TOO_HIGH", "amount: more than what is left of the payment", 409)
        refund = Refund(self._next_number(now_ms()), out_refund_no, out_trade_no, amount, at_ms)
        payment.refunds.append(refund)
        self._refunds[out_refund_no] = refund
        return refund

    def count(self) -> dict[str, int]:
        """Count the payments kept by status."""
        statuses = [payment.status for payment in self]
        return {status.value: statuses.count(status) for status in PaymentStatus}

    def count_refunds(self) -> dict[str, int]:
        """Count the refunds of payments kept, and what they come to in fen."""
        return {"made": len(self._refunds), "amount": sum(refund.amount for refund in self._refunds.values())}

    def _next_number(self, at_ms: int) -> str:
        return f"{at_ms}{next(self._numbers) % 1_000_000:06}"

    def _keep(self, payment: Payment) -> None:
        if len(self._by_trade_no) >= self._capacity:
            oldest = self._by_trade_no.pop(next(iter(self._by_trade_no)))
            del self._by_out_trade_no[oldest.order.out_trade_no]
            for refund in oldest.refunds:
                del self._refunds[refund.out_refund_no]
        self._by_trade_no[payment.trade_no] = payment
        self._by_out_trade_no[payment.order.out_trade_no] = payment


def pay(payment: Payment, at_ms: int) -> bool:
    """Pay; True when this call has paid it, False when it was paid before. PaymentError ORDER_CLOSED when closed."""
    if payment.status is PaymentStatus.CLOSED:
        raise PaymentError("ORDER_CLOSED", "the payment is closed and can no longer be paid", 409)
    if payment.status is PaymentStatus.SUCCESS:
        return False
    payment.status = PaymentStatus.SUCCESS
    payment.paid_at_ms = at_ms
    return True


def close(payment: Payment) -> None:
    """Close; a second time changes nothing. PaymentError ORDER_PAID when it is paid."""
    if payment.status is PaymentStatus.SUCCESS:
        raise PaymentError("ORDER_PAID", "the payment is paid and can no longer be closed", 409)
    payment.status = PaymentStatus.CLOSED


def _found(payment: Payment | None) -> Payment:
    if payment is None:
        raise PaymentError("ORDER_NOT_FOUND", "no payment of this number", 404)
    return payment
