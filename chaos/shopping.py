"""What users of a brand's shop do all day: order, pay or not, cancel, recharge, and what comes after a sale."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from chaos.after_sales import AfterSales
from chaos.customer import Customer, NotAcknowledgedError
from chaos.paying import IN_TIME_SECONDS, Channel
from chaos.shop import HOT_NUMBER, Article, shipping_fee_fen
from chaos.shop_told import Placed, Stocked
from mesh.money import to_fen, to_yuan
from meshctl.app import Json

_COUPON_FEN = 5_00
_COUPON_DAYS = 30
_COINS_FEN = (20_00, 200_00)
_PAUSE_SECONDS_MAX = 0.3

_ORDER_MAY_REFUSE = frozenset(
    {
        "STOCK_SHORT",  # hot articles run out
        "WALLET_SHORT",  # a flash sale was faster, or coins of a cancelled order are still on their way back
        "COUPON_USED",  # a second order at once has it, or a cancelled one has not given it back yet
        "TIMEOUT",  # nothing answered for so long that the order was cancelled before it was confirmed
    }
)


@dataclass(slots=True)
class Buyer:
    """One user, who does one thing after the other until told to stop."""

    customer: Customer
    channel: Channel
    random: Random
    user_id: str
    articles: Sequence[Article]
    _coupons: list[str] = field(default_factory=list)
    """Given to the user, and not in use as far as is known."""
    _number: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self, stop: asyncio.Event) -> None:
        """Do things at random; what is begun is brought to its end even when it is time to stop."""
        after_sales = AfterSales(self.customer, self.random, self.user_id)
        habits: dict[Callable[[], Awaitable[None]], int] = {
            self._order_something: 8,
            self._order_from_cart: 3,
            self._order_twice_with_one_coupon: 2,
            self._recharge: 2,
            self._get_coupon: 2,
            self._restock: 1,
            after_sales.go_on_with_one: 5,
        }
        while not stop.is_set():
            (act,) = self.random.choices(list(habits), list(habits.values()))
            # What was not acknowledged is written down where nobody expects it, and nothing can follow from it.
            with suppress(NotAcknowledgedError):
                await act()
            await asyncio.sleep(self.random.uniform(0, _PAUSE_SECONDS_MAX))

    @property
    def _path(self) -> str:
        return f"/users/{self.user_id}"

    def _next_id(self) -> str:
        return f"{self.user_id}-{next(self._number)}"

    async def _get_coupon(self) -> None:
        body = {
            "requestId": self._next_id(),
            "couponPrice": to_yuan(_COUPON_FEN),
            "expireTime": (datetime.now(UTC) + timedelta(days=_COUPON_DAYS)).isoformat(),
        }
        answer = await self.customer.insist("POST", f"{self._path}/coupons", body)
        self._coupons.append(answer["coupon"]["couponId"])

    async def _recharge(self) -> None:
        is_paid = self.random.random() < 0.8  # noqa: PLR2004  # some change their mind
        await self.channel.recharge(self.user_id, self._next_id(), self.random.randint(*_COINS_FEN), is_paid=is_paid)

    async def _restock(self) -> None:
        """Put a hot article on the shelves again, or take one away that nobody has bought yet."""
        article, number = self.random.choice(self.articles[:2]), self.random.choice((-1, 2, HOT_NUMBER))
        body = {"requestId": self._next_id(), "change": str(number)}
        path = f"/goods/{article.goods_id}:adjustStock"
        await self.customer.insist("POST", path, body, may_refuse={"STOCK_SHORT"})
        self.customer.told.shop.stocked.append(Stocked(article.goods_id, number))

    async def _order_something(self) -> None:
        coupon_id = self._coupons.pop() if self._coupons and self.random.random() < 0.5 else ""  # noqa: PLR2004
        try:
            await self._order_and_settle(self._draw_lines(), coupon_id)
        finally:
            # It is used, or comes back: the next order that wants it will be told.
            self._coupons[:0] = [coupon_id] if coupon_id else []

    async def _order_from_cart(self) -> None:
        lines = self._draw_lines()
        left_cart = self.customer.told.shop.left_cart
        for article, number in lines:
            left_cart[self.user_id, article.goods_id] = False
            body = {"goodsNumber": str(number)}
            await self.customer.insist("PUT", f"{self._path}/cart/{article.goods_id}", body)
        await self._order_and_settle(lines, from_cart=True)

    async def _order_twice_with_one_coupon(self) -> None:
        """Use one coupon in two orders at once, of which one at most may get it."""
        if not self._coupons:
            await self._get_coupon()
        coupon_id = self._coupons.pop()
        orders = (self._order_and_settle(self._draw_lines(), coupon_id) for _ in range(2))
        await asyncio.gather(*map(_whatever_comes, orders))

    def _draw_lines(self) -> list[tuple[Article, int]]:
        articles = self.random.sample(self.articles, self.random.choice((1, 1, 2)))
        return [(article, self.random.choice((1, 1, 2))) for article in articles]

    async def _order_and_settle(
        self, lines: Sequence[tuple[Article, int]], coupon_id: str = "", *, from_cart: bool = False
    ) -> None:
        began = asyncio.get_running_loop().time()
        order = await self._order(lines, coupon_id, from_cart=from_cart)
        if order["payStatus"] == "unpaid":
            (settle,) = self.random.choices(
                (self._pay, self._cancel, self._pay_and_cancel, self._pay_when_cancelled, self._leave),
                (10, 3, 2, 2, 2),
            )
            await settle(order, began + IN_TIME_SECONDS)

    async def _order(self, lines: Sequence[tuple[Article, int]], coupon_id: str, *, from_cart: bool) -> Json:
        goods_amount_fen = sum(article.price_fen * number for article, number in lines)
        fee_fen = shipping_fee_fen(goods_amount_fen)
        amount_fen = goods_amount_fen + fee_fen
        coins_fen = await self._draw_coins(amount_fen - _COUPON_FEN if coupon_id else amount_fen)
        body = {
            "requestId": self._next_id(),
            "lines": [
                {"goodsId": article.goods_id, "goodsNumber": str(number), "goodsPrice": to_yuan(article.price_fen)}
                for article, number in lines
            ],
            "shippingFee": to_yuan(fee_fen),
            "orderAmount": to_yuan(amount_fen),
            "couponId": coupon_id,
            "moneyPaid": to_yuan(coins_fen),
            "address": "1 Chaos Street",
            "consignee": f"user {self.user_id}",
            "fromCart": from_cart,
        }
        answer = await self.customer.insist("POST", f"{self._path}/orders", body, may_refuse=_ORDER_MAY_REFUSE)
        order: Json = answer["order"]
        wanted = tuple((article.goods_id, number) for article, number in lines)
        placed = Placed(
            self.customer.brand_id, self.user_id, order["orderId"], wanted, amount_fen, coupon_id, coins_fen
        )
        self.customer.told.shop.placed.append(placed)
        if from_cart:
            self.customer.told.shop.left_cart.update({(self.user_id, goods_id): True for goods_id, _ in wanted})
        return order

    async def _draw_coins(self, left_fen: int) -> int:
        """Decide how many coins to use: none, all that is to pay, or some; not more than there are."""
        if self.random.random() < 0.5:  # noqa: PLR2004  # half of the orders are paid at the channel alone
            return 0
        wallet = (await self.customer.insist("GET", f"{self._path}/wallet"))["wallet"]
        wanted_fen = self.random.choice((left_fen, self.random.randint(1, max(left_fen, 1))))
        return max(min(wanted_fen, left_fen, to_fen(wallet["userMoney"], "user_money")), 0)

    async def _open(self, order: Json) -> str:
        # An order whose time ran out meanwhile can no longer be paid.
        path = f"{self._path}/orders/{order['orderId']}:pay"
        answer = await self.customer.insist("POST", path, {}, may_refuse={"ORDER_NOT_PAYABLE"})
        return str(answer["payUrl"])

    async def _pay(self, order: Json, in_time: float) -> None:
        is_paid = await self.channel.pay(await self._open(order))
        if is_paid and asyncio.get_running_loop().time() < in_time:
            self.customer.told.shop.paid.append(order["orderId"])

    async def _cancel(self, order: Json, _: float = 0) -> None:
        # Its money may be faster.
        path = f"{self._path}/orders/{order['orderId']}:cancel"
        await self.customer.insist("POST", path, {}, may_refuse={"ORDER_NOT_CANCELLABLE"})
        self.customer.told.shop.cancelled.append(order["orderId"])

    async def _pay_and_cancel(self, order: Json, _: float) -> None:
        """Do both at once: whatever wins, the money is for something or goes back."""
        url = await self._open(order)
        await asyncio.gather(*map(_whatever_comes, (self.channel.pay(url), self._cancel(order))))

    async def _pay_when_cancelled(self, order: Json, _: float) -> None:
        url = await self._open(order)
        await self._cancel(order)
        await self.channel.pay(url)

    async def _leave(self, order: Json, _: float) -> None:
        """Go away, from the shop or from the channel's page."""
        if self.random.random() < 0.5:  # noqa: PLR2004  # half of them saw the page
            await self._open(order)


async def _whatever_comes(act: Awaitable[object]) -> None:
    with suppress(NotAcknowledgedError):
        await act
