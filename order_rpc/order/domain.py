"""The words of the order service: where an order stands, who acts next, what it costs, and what may be paid back.

The transition tables are applied as compare-and-set: `UPDATE ... WHERE` both statuses are those of a source. A pair
that leads to its own state is an event that comes late or twice and changes nothing; a pair that is not there is
refused. The numbers of the statuses are those of the source of this flow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

FREE_SHIPPING_ABOVE_FEN = 100_00
SHIPPING_FEE_FEN = 10_00


class OrderStatus(IntEnum):
    """Where an order stands, and who acts next."""

    UNCONFIRMED = 0  # next: the service takes stock, coupon and coins, and confirms or cancels
    CONFIRMED = 1  # next: the buyer pays or cancels, or its time runs out; once it is paid, the seller ships
    CANCELLED = 2  # terminal; goods, coupon and wallet give back what it took
    INVALID = 3  # terminal; none of our orders comes to it
    REFUNDED = 4  # terminal; all that was paid was paid back


class PayStatus(IntEnum):
    """What is paid of an order."""

    UNPAID = 0
    PAYING = 1  # a payment is open at a channel
    PAID = 2


class ShippingStatus(IntEnum):
    """Where its goods are. The source ends at 2."""

    UNSHIPPED = 0  # next: the seller ships
    SHIPPED = 1  # next: the buyer says that they came
    RETURNED = 2  # terminal
    RECEIVED = 3  # terminal; a seller who is a user is paid


class Stage(NamedTuple):
    """Both statuses that an event looks at and may change."""

    order_status: OrderStatus
    pay_status: PayStatus


class OrderEvent(StrEnum):
    """What happens to an order."""

    CONFIRM = "CONFIRM"  # stock, coupon and coins are taken, and something is left to pay
    CONFIRM_PAID = "CONFIRM_PAID"  # the same, and nothing is left to pay
    OPEN_PAYMENT = "OPEN_PAYMENT"  # the buyer wants to pay
    PAY = "PAY"  # the money came
    CANCEL = "CANCEL"  # something could not be taken, the buyer asked, or its time ran out
    REFUND_PART = "REFUND_PART"  # something is paid back, and something is left
    REFUND_REST = "REFUND_REST"  # what was left is paid back


_UNCONFIRMED = Stage(OrderStatus.UNCONFIRMED, PayStatus.UNPAID)
_CONFIRMED = Stage(OrderStatus.CONFIRMED, PayStatus.UNPAID)
_PAYING = Stage(OrderStatus.CONFIRMED, PayStatus.PAYING)
_PAID = Stage(OrderStatus.CONFIRMED, PayStatus.PAID)
_CANCELLED = Stage(OrderStatus.CANCELLED, PayStatus.UNPAID)
_CANCELLED_PAYING = Stage(OrderStatus.CANCELLED, PayStatus.PAYING)
_REFUNDED = Stage(OrderStatus.REFUNDED, PayStatus.PAID)

ORDER_TRANSITIONS: Mapping[tuple[Stage, OrderEvent], Stage] = {
    (_UNCONFIRMED, OrderEvent.CONFIRM): _CONFIRMED,
    (_UNCONFIRMED, OrderEvent.CONFIRM_PAID): _PAID,
    (_UNCONFIRMED, OrderEvent.CANCEL): _CANCELLED,
    (_CONFIRMED, OrderEvent.OPEN_PAYMENT): _PAYING,
    (_CONFIRMED, OrderEvent.CANCEL): _CANCELLED,
    (_PAYING, OrderEvent.PAY): _PAID,
    (_PAYING, OrderEvent.CANCEL): _CANCELLED_PAYING,
    (_PAID, OrderEvent.REFUND_PART): _PAID,
    (_PAID, OrderEvent.REFUND_REST): _REFUNDED,
    # What is told or asked more than once.
    (_CONFIRMED, OrderEvent.CONFIRM): _CONFIRMED,
    (_PAYING, OrderEvent.CONFIRM): _PAYING,
    (_PAID, OrderEvent.CONFIRM): _PAID,
    (_PAID, OrderEvent.CONFIRM_PAID): _PAID,
    (_PAYING, OrderEvent.OPEN_PAYMENT): _PAYING,
    (_PAID, OrderEvent.PAY): _PAID,
    (_CANCELLED, OrderEvent.CANCEL): _CANCELLED,
    (_CANCELLED_PAYING, OrderEvent.CANCEL): _CANCELLED_PAYING,
    # Money does not bring a cancelled order back: it is paid back by itself.
    (_CANCELLED_PAYING, OrderEvent.PAY): _CANCELLED_PAYING,
    (_REFUNDED, OrderEvent.PAY): _REFUNDED,
}


class ShippingEvent(StrEnum):
    """What happens to an order's goods."""

    SHIP = "SHIP"
    RECEIVE = "RECEIVE"


SHIPPING_TRANSITIONS: Mapping[tuple[ShippingStatus, ShippingEvent], ShippingStatus] = {
    (ShippingStatus.UNSHIPPED, ShippingEvent.SHIP): ShippingStatus.SHIPPED,
    (ShippingStatus.SHIPPED, ShippingEvent.RECEIVE): ShippingStatus.RECEIVED,
    # What is said more than once.
    (ShippingStatus.SHIPPED, ShippingEvent.SHIP): ShippingStatus.SHIPPED,
    (ShippingStatus.RECEIVED, ShippingEvent.SHIP): ShippingStatus.RECEIVED,
    (ShippingStatus.RECEIVED, ShippingEvent.RECEIVE): ShippingStatus.RECEIVED,
}
"""Both only while the order is confirmed and paid."""

SHIPPABLE = _PAID

PAYING = _PAYING

UNOPENED_STAGES = (_UNCONFIRMED, _CONFIRMED)
"""Those that end when their time is over."""

UNPAID_STAGES = (*UNOPENED_STAGES, PAYING)
"""Those that can be cancelled. One with an open payment ends by its time only if that is not paid."""

CANCELLED_BY_USER = "USER"
CANCELLED_BY_TIME = "TIMEOUT"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator decides. Durations in milliseconds."""

    confirm_ms_max: int
    """How long an order may stay unconfirmed: longer, and its process ended in the middle of it."""
    lifetime_ms: int
    """How long a confirmed order waits for its money."""


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Some goods of an order, as they were when it was made. `goods_id` 0: they were sold in a flash sale."""

    goods_id: int
    goods_name: str
    goods_number: int
    goods_price_fen: int

    @property
    def amount_fen(self) -> int:
        return self.goods_number * self.goods_price_fen


@dataclass(frozen=True, slots=True)
class Amounts:
    """What an order costs and how that is paid, in fen."""

    goods_amount_fen: int
    shipping_fee_fen: int
    coupon_paid_fen: int
    money_paid_fen: int

    @property
    def order_amount_fen(self) -> int:
        return self.goods_amount_fen + self.shipping_fee_fen

    @property
    def pay_amount_fen(self) -> int:
        """What is left to pay through a channel. A coupon of more than the order costs is used up by it."""
        return max(self.order_amount_fen - self.money_paid_fen - self.coupon_paid_fen, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. `seller_id` 0: the brand sells. Times are 0 until they come."""

    order_id: int
    brand_id: int
    user_id: int
    seller_id: int = 0
    seller_email: str = ""
    request_id: str
    body_hash: str
    from_cart: bool = False
    order_status: OrderStatus
    pay_status: PayStatus
    shipping_status: ShippingStatus = ShippingStatus.UNSHIPPED
    address: str
    consignee: str
    goods_amount_fen: int
    shipping_fee_fen: int
    order_amount_fen: int
    coupon_id: int
    coupon_paid_fen: int
    money_paid_fen: int
    pay_amount_fen: int
    refunded_fen: int = 0
    add_time_ms: int
    confirm_time_ms: int = 0
    pay_time_ms: int = 0
    ship_time_ms: int = 0
    receive_time_ms: int = 0
    remind_time_ms: int = 0
    expire_time_ms: int
    cancel_reason: str = ""
    cancel_remark: str = ""

    @property
    def stage(self) -> Stage:
        return Stage(self.order_status, self.pay_status)

    @property
    def confirm_event(self) -> OrderEvent:
        return OrderEvent.CONFIRM if self.pay_amount_fen else OrderEvent.CONFIRM_PAID

    @property
    def is_refused(self) -> bool:
        """Whether it was never confirmed, and never will be."""
        return self.order_status is OrderStatus.CANCELLED and not self.confirm_time_ms

    @property
    def refundable_fen(self) -> int:
        """What may still be paid back: what was paid with coins and through the channel, less what went back."""
        return self.money_paid_fen + self.pay_amount_fen - self.refunded_fen


@dataclass(frozen=True, slots=True)
class Refund:
    """What goes back: first through the channel, as long as something of that payment is left, then as coins."""

    request_id: str
    amount_fen: int
    payment_fen: int
    coins_fen: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an order, for people to read."""

    event: str
    remark: str
    event_time_ms: int


class WantedLine(NamedTuple):
    """Some goods as the buyer was shown them."""

    goods_id: int
    goods_number: int
    goods_price_fen: int


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as it was asked for. Amounts are what the buyer was shown. `coupon_id` 0: none."""

    brand_id: int
    user_id: int
    request_id: str
    lines: tuple[WantedLine, ...]
    shipping_fee_fen: int
    order_amount_fen: int
    coupon_id: int
    money_paid_fen: int
    address: str
    consignee: str
    from_cart: bool

    def body_hash(self) -> str:
        """Tell two requests with the same id apart. 128 bits."""
        return hashlib.blake2b(repr(self).encode(), digest_size=16).hexdigest()


def shipping_fee_fen(goods_amount_fen: int) -> int:
    """What shipping costs: nothing above 100.00."""
    return 0 if goods_amount_fen > FREE_SHIPPING_ABOVE_FEN else SHIPPING_FEE_FEN


def refund_of(order: Order, request_id: str, amount_fen: int) -> Refund:
    """Split a refund of what is refundable."""
    payment_left_fen = max(order.pay_amount_fen - order.refunded_fen, 0)
    payment_fen = min(amount_fen, payment_left_fen)
    return Refund(request_id, amount_fen, payment_fen, amount_fen - payment_fen)
