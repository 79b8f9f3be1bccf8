"""A brand's shop as it is before the load: what is on its shelves, and who comes to buy."""

from __future__ import annotations

from dataclasses import dataclass

from chaos.customer import Customer
from chaos.shop_told import Stocked
from mesh.money import to_yuan

BUYERS_A_BRAND = 3
ONLOOKERS_A_BRAND = 6
"""Users who come for flash sales alone."""

HOT_NUMBER = 4
_PLENTY_NUMBER = 10_000

FREE_SHIPPING_ABOVE_FEN = 100_00
SHIPPING_FEE_FEN = 10_00


@dataclass(frozen=True, slots=True)
class Article:
    """Some goods, and what one costs."""

    goods_id: str
    price_fen: int


_SHELVES = (
    ("hot", HOT_NUMBER, 30_00),
    ("hotter", HOT_NUMBER, 120_00),
    ("cheap", _PLENTY_NUMBER, 4_90),
    ("dear", _PLENTY_NUMBER, 66_66),
)
"""Name, number and price: two articles run out, and are put on the shelves again by and by."""


def buyers_of(brand_id: int) -> list[str]:
    """Answer the users who order, and try in flash sales too."""
    return [f"{brand_id}{number:02}" for number in range(1, BUYERS_A_BRAND + 1)]


def onlookers_of(brand_id: int) -> list[str]:
    """Answer the users who try in flash sales alone. Half of them have no coins at first."""
    return [f"{brand_id}{number:02}" for number in range(51, 51 + ONLOOKERS_A_BRAND)]


def seller_of(brand_id: int) -> str:
    """Answer the user who publishes flash sales."""
    return f"{brand_id}99"


def users_of(brand_id: int) -> list[str]:
    """Answer all of them."""
    return [*buyers_of(brand_id), *onlookers_of(brand_id), seller_of(brand_id)]


async def open_shop(customer: Customer) -> list[Article]:
    """Put goods on a brand's shelves."""
    articles = []
    for name, number, price_fen in _SHELVES:
        body = {
            "requestId": f"chaos-{name}",
            "goodsName": name,
            "goodsNumber": str(number),
            "goodsPrice": to_yuan(price_fen),
            "onSale": True,
        }
        goods = (await customer.app.ok("POST", "/goods", body))["goods"]
        customer.told.shop.stocked.append(Stocked(goods["goodsId"], number))
        articles.append(Article(goods["goodsId"], price_fen))
    return articles


def shipping_fee_fen(goods_amount_fen: int) -> int:
    """What shipping costs, as buyers are told."""
    return 0 if goods_amount_fen > FREE_SHIPPING_ABOVE_FEN else SHIPPING_FEE_FEN
