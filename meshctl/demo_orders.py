"""The orders' part of the demonstration: goods to buy, a user who pays an order, and one who wins a flash sale."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meshctl.app import App, Json

_SETTLED_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.05
_GOODS = (
    {"requestId": "demo-dumplings", "goodsName": "水饺", "goodsNumber": 100_000, "goodsPrice": "28.00"},
    {"requestId": "demo-robe", "goodsName": "浴袍", "goodsNumber": 10_000, "goodsPrice": "199.00"},
)
_BUYER = {"userName": "demo-buyer", "password": "a bath and a tea"}
_SELLER = {"userName": "demo-seller", "password": "a tea and a bath"}


@dataclass(frozen=True, slots=True)
class User:
    """A user of a brand, who calls with a token of their own."""

    app: App
    user_id: str

    async def ok(self, method: str, path: str, body: Json | None = None) -> Json:
        """Call a path of this user."""
        return await self.app.ok(method, f"/users/{self.user_id}{path}", body)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demonstration shows: a paid order with its steps, a flash sale, and the attempt that won it."""

    order: Json
    flash_sale: Json
    flash_attempt: Json


async def furnish(app: App) -> list[Json]:
    """Give a brand goods to sell; answer them. Repeatable."""
    return [(await app.ok("POST", "/goods", {**goods, "onSale": True}))["goods"] for goods in _GOODS]


async def show(app: App) -> Shown:
    """Have a user order, pay and see it paid; have another sell a bargain to the first."""
    goods = await furnish(app)
    buyer, seller = await _log_in(app, _BUYER), await _log_in(app, _SELLER)
    await _recharge(buyer, "20.00")
    order = await _order(buyer, goods[0])
    flash_sale, flash_attempt = await _win(buyer, seller)
    return Shown(order, flash_sale, flash_attempt)


async def _log_in(app: App, person: Json) -> User:
    """Log a user in who may be known from an earlier run."""
    status, answer = await app.call("POST", "/users", {"requestId": f"demo-{person['userName']}", **person})
    if status != 200:  # noqa: PLR2004  # HTTP's number is its name
        answer = await app.ok("POST", "/users:logIn", person)
    token = answer["tokens"]["accessToken"]
    return User(App(app.session, app.gateway_url, app.brand_id, token), answer["user"]["userId"])


async def _recharge(user: User, amount: str) -> None:
    """Buy coins at the channel."""
    body = {"requestId": _new_id(), "amount": amount}
    recharge = (await user.ok("POST", "/recharges", body))["recharge"]
    await _pay(user, recharge["payUrl"])
    path = f"/recharges/{recharge['rechargeId']}"
    await _until(lambda: user.ok("GET", path), lambda answer: answer["recharge"]["status"] == "paid")


async def _order(user: User, goods: Json) -> Json:
    """Order two, and pay what coins do not."""
    body = {
        "requestId": _new_id(),
        "lines": [{"goodsId": goods["goodsId"], "goodsNumber": 2, "goodsPrice": goods["goodsPrice"]}],
        "shippingFee": "10.00",
        "orderAmount": "66.00",
        "moneyPaid": "10.00",
        "address": "1 Bath Street, room 801",
        "consignee": "demo",
    }
    order = (await user.ok("POST", "/orders", body))["order"]
    path = f"/orders/{order['orderId']}"
    await _pay(user, (await user.ok("POST", f"{path}:pay", {}))["payUrl"])
    answer = await _until(lambda: user.ok("GET", path), lambda answer: answer["order"]["payStatus"] == "paid")
    order = answer["order"]
    return {"order": order, "events": (await user.ok("GET", f"{path}/events"))["events"]}


async def _win(buyer: User, seller: User) -> tuple[Json, Json]:
    """Publish a flash sale, and buy its one piece."""
    now = datetime.now(UTC)
    body = {
        "requestId": _new_id(),
        "goodsName": "a robe, worn once",
        "price": "9.90",
        "goodsNumber": 1,
        "perUserLimit": 1,
        "startTime": now.isoformat(),
        "endTime": (now + timedelta(minutes=10)).isoformat(),
    }
    flash_sale = (await seller.ok("POST", "/flashSales", body))["flashSale"]
    path = f"/flashSales/{flash_sale['flashSaleId']}"
    attempt = (await buyer.ok("POST", f"{path}:buy", {"requestId": _new_id()}))["attempt"]
    answer = await _until(
        lambda: buyer.ok("GET", f"{path}/attempts/{attempt['attemptId']}"),
        lambda answer: answer["attempt"]["status"] != "in_progress",
    )
    flash_sale = (await buyer.app.ok("GET", path))["flashSale"]
    return flash_sale, answer["attempt"]


async def _pay(user: User, url: str) -> None:
    """Pay at the channel, as the user's browser does."""
    async with user.app.session.post(f"{url}:pay") as response:
        response.raise_for_status()


async def _until(read: Callable[[], Awaitable[Json]], is_so: Callable[[Json], bool]) -> Json:
    async with asyncio.timeout(_SETTLED_SECONDS_MAX):
        while True:
            answer = await read()
            if is_so(answer):
                return answer
            await asyncio.sleep(_POLL_SECONDS)


def _new_id() -> str:
    return f"demo-{time.time_ns()}"
