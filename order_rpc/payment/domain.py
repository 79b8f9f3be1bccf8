"""The words of the payment service: payments and refunds, who acts next in each state, the transitions between them.

The tables are applied as compare-and-set: `UPDATE ... WHERE status IN (sources of the event)`. A pair that leads to its
own state is an event that comes late or twice and changes nothing; a pair that is not there is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

CURRENCY = "CNY"
"""All amounts are in fen, its hundredth."""

OWN_REFUND = ""
"""The request id of the refund that this service makes by itself: of money that came after the payment was closed."""


class IsPaid(IntEnum):
    """Whether money came. The numbers are those of the source of these tables."""

    NO = 1
    YES = 2


class PaymentStatus(StrEnum):
    """Where a payment stands, and who acts next."""

    PENDING = "PENDING"  # next: the buyer pays, or its business closes it
    PAID = "PAID"  # next: nobody, unless its business wants some of it paid back
    CLOSED = "CLOSED"  # next: nobody, unless money comes all the same
    REFUNDING = "REFUNDING"  # money came after it was closed; next: its refund is made
    REFUNDED = "REFUNDED"  # terminal


class PaymentEvent(StrEnum):
    """What happens to a payment."""

    PAY = "PAY"  # its money came
    CLOSE = "CLOSE"  # its business wants none any more
    PAY_BACK = "PAY_BACK"  # the channel has made the last of its refunds


PAYMENT_TRANSITIONS: Mapping[tuple[PaymentStatus, PaymentEvent], PaymentStatus] = {
    (PaymentStatus.PENDING, PaymentEvent.PAY): PaymentStatus.PAID,
    (PaymentStatus.PENDING, PaymentEvent.CLOSE): PaymentStatus.CLOSED,
    # The business was told that there is no money: it goes back, and nobody hears that it came.
    (PaymentStatus.CLOSED, PaymentEvent.PAY): PaymentStatus.REFUNDING,
    (PaymentStatus.PAID, PaymentEvent.PAY_BACK): PaymentStatus.REFUNDED,
    (PaymentStatus.REFUNDING, PaymentEvent.PAY_BACK): PaymentStatus.REFUNDED,
    # The channel tells of one payment more than once.
    (PaymentStatus.PAID, PaymentEvent.PAY): PaymentStatus.PAID,
    (PaymentStatus.REFUNDING, PaymentEvent.PAY): PaymentStatus.REFUNDING,
    (PaymentStatus.REFUNDED, PaymentEvent.PAY): PaymentStatus.REFUNDED,
    # Its money was faster: the business hears of it, and asks for it back.
    (PaymentStatus.PAID, PaymentEvent.CLOSE): PaymentStatus.PAID,
    (PaymentStatus.CLOSED, PaymentEvent.CLOSE): PaymentStatus.CLOSED,
    (PaymentStatus.REFUNDING, PaymentEvent.CLOSE): PaymentStatus.REFUNDING,
    (PaymentStatus.REFUNDED, PaymentEvent.CLOSE): PaymentStatus.REFUNDED,
}


class RefundStatus(StrEnum):
    """Where a refund stands, and who acts next."""

    PENDING = "PENDING"  # next: the channel is asked for it, again while its answer is not known
    MADE = "MADE"  # terminal
    REFUSED = "REFUSED"  # next: an operator finds out why, and asks for another one


class RefundEvent(StrEnum):
    """What the channel says of a refund."""

    MAKE = "MAKE"  # the money is on its way back
    REFUSE = "REFUSE"  # it will never be made


REFUND_TRANSITIONS: Mapping[tuple[RefundStatus, RefundEvent], RefundStatus] = {
    (RefundStatus.PENDING, RefundEvent.MAKE): RefundStatus.MADE,
    (RefundStatus.PENDING, RefundEvent.REFUSE): RefundStatus.REFUSED,
    # Two who asked at once get one answer.
    (RefundStatus.MADE, RefundEvent.MAKE): RefundStatus.MADE,
    (RefundStatus.REFUSED, RefundEvent.REFUSE): RefundStatus.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Business:
    """What a payment is for: `business_id` of the service `name`."""

    name: str
    business_id: str


@dataclass(frozen=True, slots=True)
class Payment:
    """The payment of a business.

    `trade_no` and `pay_url` are empty until the channel gave them. `refunded_fen` is what was and what is being paid
    back. One without a channel was closed before there was a payment, and is not shown.
    """

    pay_id: int
    business: Business
    brand_id: int
    channel: str
    status: PaymentStatus
    pay_amount_fen: int
    subject: str
    create_time_ms: int
    refunded_fen: int = 0
    trade_no: str = ""
    pay_url: str = ""
    pay_time_ms: int = 0
    close_due_at_ms: int = 0

    @property
    def is_paid(self) -> bool:
        """Whether its money came, wherever it went then."""
        return self.status in {PaymentStatus.PAID, PaymentStatus.REFUNDING, PaymentStatus.REFUNDED}

    def has_pay_url(self, now_ms: int, pay_url_lifetime_ms: int) -> bool:
        """Whether it is known where money is taken for it. That is not known any more once it was known too long."""
        is_over = 0 < pay_url_lifetime_ms <= now_ms - self.create_time_ms
        return bool(self.pay_url) and not is_over

    @property
    def is_tombstone(self) -> bool:
        """Whether it only says that there will be none."""
        return not self.channel

    @property
    def refundable_fen(self) -> int:
        """What may still be paid back."""
        return self.pay_amount_fen - self.refunded_fen if self.is_paid else 0


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund, known to the channel by `refund_id`. `refusal` is the channel's reason."""

    refund_id: int
    pay_id: int
    channel: str
    request_id: str
    status: RefundStatus
    amount_fen: int
    remark: str
    create_time_ms: int
    refund_no: str = ""
    refund_time_ms: int = 0
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator decides. Durations in milliseconds."""

    ask_again_after_ms: int
    ask_again_after_ms_max: int = 3_600_000

    def ask_again_at_ms(self, since_ms: int, now_ms: int) -> int:
        """When a channel that is asked now is asked again, unless it answers.

        The pause doubles: each is as long as what is wanted is old, within bounds. What is owed is never given up.
        """
        return now_ms + min(max(now_ms - since_ms, self.ask_again_after_ms), self.ask_again_after_ms_max)
