"""Everything there is to see of the services of orders when a run has ended. Amounts are fen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Lines = tuple[tuple[str, int], ...]
"""(goods, number); goods "0" were sold in a flash sale."""


@dataclass(frozen=True, slots=True)
class StockLog:
    """A change of a stock. `order_id` is empty for an adjustment."""

    order_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Goods:
    """Goods as their brand sees them, and what became of their stock, newest first."""

    goods_id: str
    number: int
    logs: Sequence[StockLog] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOrder:
    """An order of a user, in the words of REST."""

    order_id: str
    order_status: str
    pay_status: str
    shipping_status: str = "unshipped"
    lines: Lines
    order_amount_fen: int
    coupon_id: str = ""
    money_paid_fen: int = 0
    pay_amount_fen: int = 0
    refunded_fen: int = 0
    is_confirmed: bool = True
    """Whether it ever was; one that was not was refused."""
    seller_id: str = ""
    """Empty: the brand sells, from its stock."""

    @property
    def is_live(self) -> bool:
        """Whether it holds what it took."""
        return self.order_status != "cancelled"

    @property
    def refunded_at_channel_fen(self) -> int:
        """What of its refunds goes back through the channel, which comes first."""
        return min(self.refunded_fen, self.pay_amount_fen)

    @property
    def coins_fen(self) -> int:
        """The coins that it has of its buyer's wallet."""
        return self.money_paid_fen - (self.refunded_fen - self.refunded_at_channel_fen) if self.is_live else 0

    @property
    def earned_fen(self) -> int:
        """The coins that its seller has for it."""
        is_earned = self.seller_id and self.is_live and self.shipping_status == "received"
        return self.money_paid_fen + self.pay_amount_fen - self.refunded_fen if is_earned else 0


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon of a user."""

    coupon_id: str
    is_used: bool
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class MoneyLog:
    """A change of a wallet. `kind` is pay, refund, recharge or earn."""

    kind: str
    order_id: str
    amount_fen: int
    balance_fen: int


@dataclass(frozen=True, slots=True)
class Recharge:
    """A recharge of a wallet."""

    recharge_id: str
    status: str
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """All that a user of a brand has."""

    user_id: str
    balance_fen: int
    money_logs: Sequence[MoneyLog] = ()
    """Newest first."""
    orders: Sequence[UserOrder] = ()
    coupons: Sequence[Coupon] = ()
    recharges: Sequence[Recharge] = ()
    cart: Sequence[str] = ()
    """Goods that are in it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt in a flash sale that got stock. `order_id` is empty until it is sold."""

    attempt_id: str
    user_id: str
    status: str
    order_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashSale:
    """A flash sale, with the attempts of all who tried."""

    flash_sale_id: str
    seller_id: str
    goods_number: int
    left_number: int
    per_user_limit: int
    attempts: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True)
class Shop:
    """What there is of one brand's shop."""

    brand_id: int
    goods: Sequence[Goods] = ()
    users: Sequence[User] = ()
    flash_sales: Sequence[FlashSale] = ()


@dataclass(frozen=True, slots=True)
class Payment:
    """What a service keeps of a payment: the number by which the channel knows it, and what it is for."""

    pay_id: str
    business: str
    business_id: str


@dataclass(frozen=True, slots=True)
class ChannelPayment:
    """A payment as its channel has it, by our number. `status` is NOTPAY, SUCCESS or CLOSED."""

    pay_id: str
    status: str
    amount_fen: int
    refunded_fen: int = 0


@dataclass(frozen=True, slots=True)
class OrderServices:
    """All shops, their payments at both ends, and what the services found themselves."""

    shops: Sequence[Shop] = ()
    payments: Sequence[Payment] = ()
    channel_payments: Sequence[ChannelPayment] = ()
    wallets: Sequence[str] = ()
    """What the wallets' own audit found, a line each."""
    messages: Sequence[str] = ()
    """Messages between services that are not at their end, a line each."""
