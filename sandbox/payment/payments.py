"""Payments and their states."""

import itertools
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.clock import now_ms
from sandbox.payment.errors import PaymentError
from sandbox.payment.requests import CreateRequest
from sandbox.push import Push


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    NOTPAY = "NOTPAY"  # the payer acts next
    SUCCESS = "SUCCESS"  # done; the merchant is notified
    CLOSED = "CLOSED"  # done; can no longer be paid


@dataclass(slots=True)
class Payment:
    """A payment of `amount` fen. `paid_at_ms` is 0 until paid; `notifications` are the attempts made."""

    trade_no: str
    request: CreateRequest
    pay_url: str
    created_at_ms: int
    status: PaymentStatus = PaymentStatus.NOTPAY
    paid_at_ms: int = 0
    notifications: list[Push] = field(default_factory=list)

    def is_asked_by(self, request: CreateRequest) -> bool:
        """Whether the request asks for this very payment: only time, nonce and signature may differ."""
        varying = {"timestamp", "nonce", "sign"}
        return self.request.model_dump(exclude=varying) == request.model_dump(exclude=varying)


class PaymentBook:
    """The last `capacity` payments, by the numbers of both sides."""

    def __init__(self, capacity: int) -> None:
        """Bound the payments kept."""
        self._capacity = capacity
        self._by_trade_no: dict[str, Payment] = {}
        self._by_out_trade_no: dict[str, Payment] = {}
        self._numbers = itertools.count(1)

    def create(self, request: CreateRequest, pay_url_base: str) -> Payment:
        """Open a payment, or return the one that the same request has opened.

        Raises:
            PaymentError: OUT_TRADE_NO_USED when another request has used the number.

        """
        known = self._by_out_trade_no.get(request.out_trade_no)
        if known is not None:
            if known.is_asked_by(request):
                return known
            raise PaymentError("OUT_TRADE_NO_USED", "outTradeNo: used by a payment with other fields", 409)
        at_ms = now_ms()
        trade_no = f"{at_ms}{next(self._numbers) % 1_000_000:06}"
        payment = Payment(trade_no, request, f"{pay_url_base}/pay/{trade_no}", at_ms)
        self._keep(payment)
        return payment

    def by_out_trade_no(self, out_trade_no: str) -> Payment:
        """Find a payment by the merchant's number; PaymentError ORDER_NOT_FOUND when there is none."""
        return _found(self._by_out_trade_no.get(out_trade_no))

    def by_trade_no(self, trade_no: str) -> Payment:
        """Find a payment by the channel's number; PaymentError ORDER_NOT_FOUND when there is none."""
        return _found(self._by_trade_no.get(trade_no))

    def count(self) -> dict[str, int]:
        """Count the payments kept by status."""
        statuses = [payment.status for payment in self._by_trade_no.values()]
        return {status.value: statuses.count(status) for status in PaymentStatus}

    def _keep(self, payment: Payment) -> None:
        if len(self._by_trade_no) >= self._capacity:
            oldest = self._by_trade_no.pop(next(iter(self._by_trade_no)))
            del self._by_out_trade_no[oldest.request.out_trade_no]
        self._by_trade_no[payment.trade_no] = payment
        self._by_out_trade_no[payment.request.out_trade_no] = payment


def pay(payment: Payment) -> bool:
    """Pay; True when this call has paid it, False when it was paid before. PaymentError ORDER_CLOSED when closed."""
    if payment.status is PaymentStatus.CLOSED:
        raise PaymentError("ORDER_CLOSED", "the payment is closed and can no longer be paid", 409)
    if payment.status is PaymentStatus.SUCCESS:
        return False
    payment.status = PaymentStatus.SUCCESS
    payment.paid_at_ms = now_ms()
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
