"""The words of the cart service: carts, and what is in them worth now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LINES_MAX = 100
"""Goods in one cart, which one order can take."""


@dataclass(frozen=True, slots=True)
class CartKey:
    """Whose cart it is: one a user of a brand."""

    brand_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class CartLine:
    """Some goods in a cart. Lines stand in the order of `position`, which a line keeps until it is taken out."""

    goods_id: int
    goods_number: int
    position: int
    add_time_ms: int


@dataclass(frozen=True, slots=True)
class GoodsNow:
    """Goods as they are now. `goods_number` is the stock."""

    goods_name: str
    goods_number: int
    goods_price_fen: int
    on_sale: bool


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line, and its goods as they are now; None: they are gone."""

    line: CartLine
    goods: GoodsNow | None

    @property
    def can_be_ordered(self) -> bool:
        goods = self.goods
        return goods is not None and goods.on_sale and goods.goods_number >= self.line.goods_number

    @property
    def amount_fen(self) -> int:
        return self.goods.goods_price_fen * self.line.goods_number if self.goods is not None else 0


@dataclass(frozen=True, slots=True)
class PricedCart:
    """All that a user means to order, with what it is and costs now."""

    lines: Sequence[PricedLine]

    @property
    def goods_amount_fen(self) -> int:
        """What those lines cost that can be ordered."""
        return sum(line.amount_fen for line in self.lines if line.can_be_ordered)


def price_cart(lines: Sequence[CartLine], goods: Mapping[int, GoodsNow]) -> PricedCart:
    """Set lines beside their goods, in the order in which they were put in."""
    ordered = sorted(lines, key=lambda line: line.position)
    return PricedCart([PricedLine(line, goods.get(line.goods_id)) for line in ordered])


@dataclass(frozen=True, slots=True)
class CartRefusal:
    """Why goods do not come into a cart."""

    reason: str
    message: str


def refuse_goods(goods_id: int, goods: GoodsNow | None) -> CartRefusal | None:
    """Say why nobody can put these goods into a cart. How many are in stock is looked at when they are ordered."""
    if goods is None:
        return CartRefusal("GOODS_NOT_FOUND", f"no goods {goods_id}")
    if not goods.on_sale:
        return CartRefusal("GOODS_NOT_ON_SALE", f"goods {goods_id} are not on sale")
    return None


def refuse_line(goods_id: int, lines: Mapping[int, CartLine]) -> CartRefusal | None:
    """Say why a cart with these lines, by goods, cannot take one of these goods."""
    if goods_id not in lines and len(lines) >= LINES_MAX:
        message = f"the cart has {LINES_MAX} lines, and holds no more; order some, or take some out"
        return CartRefusal("CART_FULL", message)
    return None
