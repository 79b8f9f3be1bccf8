"""The words of the service of SMS packages: states, who acts next in each, what leads to which, and what is bought.

Both transition tables are applied as compare-and-set: `UPDATE ... WHERE status IN (sources of the event)`. A pair that
leads to its own state is an event that comes late or twice and changes nothing; a pair that is not there is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

DAY_MS = 86_400_000


class OrderStatus(StrEnum):
    """Where an order stands, and who acts next."""

    CREATED = "CREATED"  # next: the buyer pays or cancels, or its time runs out
    PAID = "PAID"  # next: order_rmq has the package granted
    FULFILLED = "FULFILLED"  # terminal
    CANCELLED = "CANCELLED"  # terminal


class OrderEvent(StrEnum):
    """What happens to an order."""

    PAY = "PAY"  # its money came
    CANCEL = "CANCEL"  # the buyer asked, or its time ran out
    GRANT = "GRANT"  # the cost center added the credits


ORDER_TRANSITIONS: Mapping[tuple[OrderStatus, OrderEvent], OrderStatus] = {
    (OrderStatus.CREATED, OrderEvent.PAY): OrderStatus.PAID,
    (OrderStatus.CREATED, OrderEvent.CANCEL): OrderStatus.CANCELLED,
    (OrderStatus.PAID, OrderEvent.GRANT): OrderStatus.FULFILLED,
    # Money is told of more than once.
    (OrderStatus.PAID, OrderEvent.PAY): OrderStatus.PAID,
    (OrderStatus.FULFILLED, OrderEvent.PAY): OrderStatus.FULFILLED,
    # Money does not bring a cancelled order back: its payment becomes REFUND_DUE.
    (OrderStatus.CANCELLED, OrderEvent.PAY): OrderStatus.CANCELLED,
    (OrderStatus.CANCELLED, OrderEvent.CANCEL): OrderStatus.CANCELLED,
    # A grant is reported again when the report's answer was lost.
    (OrderStatus.FULFILLED, OrderEvent.GRANT): OrderStatus.FULFILLED,
}


class PaymentStatus(StrEnum):
    """Where the payment of an order stands, as far as this service has heard, and who acts next."""

    NONE = "NONE"  # next: the buyer has one opened
    PENDING = "PENDING"  # next: the buyer pays, or the order is cancelled
    PAID = "PAID"  # terminal
    CLOSED = "CLOSED"  # next: nobody; money that comes all the same goes back without a word to us
    REFUND_DUE = "REFUND_DUE"  # money came and the order was cancelled; next: the payment service pays it back
    REFUNDED = "REFUNDED"  # terminal


class PaymentEvent(StrEnum):
    """What happens to the payment of an order."""

    OPEN = "OPEN"  # it has a place where it is paid
    PAY = "PAY"  # its money came
    CLOSE = "CLOSE"  # its order was cancelled
    PAY_BACK = "PAY_BACK"  # its money went back


PAYMENT_TRANSITIONS: Mapping[tuple[PaymentStatus, PaymentEvent], PaymentStatus] = {
    (PaymentStatus.NONE, PaymentEvent.OPEN): PaymentStatus.PENDING,
    (PaymentStatus.PENDING, PaymentEvent.PAY): PaymentStatus.PAID,
    (PaymentStatus.NONE, PaymentEvent.CLOSE): PaymentStatus.CLOSED,
    (PaymentStatus.PENDING, PaymentEvent.CLOSE): PaymentStatus.CLOSED,
    (PaymentStatus.CLOSED, PaymentEvent.PAY): PaymentStatus.REFUND_DUE,
    (PaymentStatus.REFUND_DUE, PaymentEvent.PAY_BACK): PaymentStatus.REFUNDED,
    # The news of its money may be faster than the answer that says where it is paid.
    (PaymentStatus.NONE, PaymentEvent.PAY): PaymentStatus.PAID,
    # Each of these is told more than once, or in another order.
    (PaymentStatus.PENDING, PaymentEvent.OPEN): PaymentStatus.PENDING,
    (PaymentStatus.PAID, PaymentEvent.OPEN): PaymentStatus.PAID,
    (PaymentStatus.CLOSED, PaymentEvent.OPEN): PaymentStatus.CLOSED,
    (PaymentStatus.REFUND_DUE, PaymentEvent.OPEN): PaymentStatus.REFUND_DUE,
    (PaymentStatus.REFUNDED, PaymentEvent.OPEN): PaymentStatus.REFUNDED,
    (PaymentStatus.PAID, PaymentEvent.PAY): PaymentStatus.PAID,
    (PaymentStatus.REFUND_DUE, PaymentEvent.PAY): PaymentStatus.REFUND_DUE,
    (PaymentStatus.REFUNDED, PaymentEvent.PAY): PaymentStatus.REFUNDED,
    (PaymentStatus.CLOSED, PaymentEvent.CLOSE): PaymentStatus.CLOSED,
    (PaymentStatus.REFUND_DUE, PaymentEvent.CLOSE): PaymentStatus.REFUND_DUE,
    (PaymentStatus.REFUNDED, PaymentEvent.CLOSE): PaymentStatus.REFUNDED,
    (PaymentStatus.REFUNDED, PaymentEvent.PAY_BACK): PaymentStatus.REFUNDED,
}


@dataclass(frozen=True, slots=True)
class Package:
    """What can be bought: SMS credits, their price in fen, and how many days they can be used."""

    package_id: str
    title: str
    credits: int
    price_fen: int
    valid_days: int


@dataclass(frozen=True, slots=True)
class Payment:
    """The payment of an order. What is not known yet is 0 or empty."""

    status: PaymentStatus = PaymentStatus.NONE
    pay_id: int = 0
    trade_no: str = ""
    pay_url: str = ""
    pay_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `package` is as it was when the order was made; `paid_at_ms` is when this service learnt of it."""

    order_id: int
    brand_id: int
    request_id: str
    status: OrderStatus
    package: Package
    quantity: int
    created_at_ms: int
    expires_at_ms: int
    paid_at_ms: int = 0
    lot_id: str = ""
    payment: Payment = Payment()

    @property
    def amount_fen(self) -> int:
        """What it costs."""
        return self.package.price_fen * self.quantity

    @property
    def credits(self) -> int:
        """What it brings."""
        return self.package.credits * self.quantity

    @property
    def credits_expire_at_ms(self) -> int:
        """When its credits expire.

        Counted by this service's clock: news of a payment that come days late, or with a wrong time, must not have
        used up what was bought.
        """
        return self.paid_at_ms + self.package.valid_days * DAY_MS

    @property
    def is_unpaid(self) -> bool:
        """Whether it waits for its money."""
        return self.status is OrderStatus.CREATED

    def is_payable(self, now_ms: int) -> bool:
        """Whether a payment may be opened for it. One that is past its time waits for the sweep."""
        return self.is_unpaid and now_ms < self.expires_at_ms
