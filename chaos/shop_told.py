"""What shoppers asked for and were told: what the audit holds the services of orders to. Amounts are fen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stocked:
    """Goods that were added to a stock, first or later; negative: taken from it. By goods' id."""

    goods_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that was acknowledged. `lines` are (goods, number); `coupon_id` is empty where there is none."""

    brand_id: int
    user_id: str
    order_id: str
    lines: tuple[tuple[str, int], ...]
    order_amount_fen: int
    coupon_id: str = ""
    money_paid_fen: int = 0


@dataclass(frozen=True, slots=True)
class PaidBack:
    """A refund that was acknowledged."""

    order_id: str
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Recharged:
    """A recharge that was acknowledged, whoever pays it."""

    brand_id: int
    user_id: str
    recharge_id: str
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Published:
    """A flash sale that was acknowledged."""

    brand_id: int
    flash_sale_id: str
    goods_number: int
    per_user_limit: int


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt in a flash sale that got stock."""

    brand_id: int
    user_id: str
    flash_sale_id: str
    attempt_id: str


@dataclass(slots=True)
class ShopTold:
    """Everything that was acknowledged."""

    stocked: list[Stocked] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    left_cart: dict[tuple[str, str], bool] = field(default_factory=dict)
    """By user and goods that were put into a cart: whether an order of what is in it was acknowledged since."""
    cancelled: list[str] = field(default_factory=list)
    """Orders whose cancel was acknowledged."""
    paid: list[str] = field(default_factory=list)
    """Orders whose money was taken in time, and which nobody cancelled."""
    paid_back: list[PaidBack] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    """Orders whose receipt was."""
    recharged: list[Recharged] = field(default_factory=list)
    recharges_paid: list[str] = field(default_factory=list)
    """Recharges whose money was taken in time."""
    published: list[Published] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    sold: list[str] = field(default_factory=list)
    """Attempts that were told to be sold."""
