"""Orders of users, all the way: through the gateway with tokens of their own, real processes, the sandbox's channel."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from meshctl.app import Json
from tests.chain.harness import App, Chain, eventually, new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")

PASSWORD = "a bath and a tea"  # made up


@dataclass(frozen=True)
class User:
    """A user who calls for themselves."""

    app: App
    user_id: str

    async def ok(self, method: str, path: str, body: Json | None = None) -> Json:
        return await self.app.ok(method, f"/users/{self.user_id}{path}", body)

    async def call(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        return await self.app.call(method, f"/users/{self.user_id}{path}", body)

    async def balance(self) -> str:
        return str((await self.ok("GET", "/wallet"))["wallet"]["userMoney"])


async def register(app: App) -> User:
    anybody = replace(app, api_key="")
    body = {"requestId": new_id(), "userName": f"user-{new_id()}", "password": PASSWORD}
    answer = await anybody.ok("POST", "/users", body)
    return User(replace(app, api_key=answer["tokens"]["accessToken"]), answer["user"]["userId"])


@pytest_asyncio.fixture(loop_scope="session")
async def buyer(healed: Chain) -> User:
    return await register(healed.apps[0])


async def pay(chain: Chain, url: str) -> None:
    async with chain.session.post(f"{url}:pay") as response:
        assert response.status == 200, await response.text()


async def recharge(chain: Chain, user: User, amount: str) -> None:
    before = await user.balance()
    body = {"requestId": new_id(), "amount": amount}
    await pay(chain, (await user.ok("POST", "/recharges", body))["recharge"]["payUrl"])
    await eventually(user.balance, lambda balance: balance != before, 20)


async def add_goods(app: App, number: int = 5, price: str = "30.00") -> Json:
    body = {"requestId": new_id(), "goodsName": "水饺", "goodsNumber": number, "goodsPrice": price, "onSale": True}
    return dict((await app.ok("POST", "/goods", body))["goods"])


def wanted(goods: Json, number: int, amount: str, **further: Any) -> Json:
    return {
        "requestId": new_id(),
        "lines": [{"goodsId": goods["goodsId"], "goodsNumber": number, "goodsPrice": goods["goodsPrice"]}],
        "shippingFee": "10.00",
        "orderAmount": amount,
        "address": "1 Bath Street",
        "consignee": "Li",
        **further,
    }


async def until_sold(winner: User, attempt: str) -> str:
    """Wait until an attempt is sold and its order is there; answer the order."""
    answer = await eventually(lambda: winner.ok("GET", attempt), lambda one: one["attempt"]["status"] == "sold", 20)
    order_id = str(answer["attempt"]["orderId"])
    await eventually(lambda: winner.call("GET", f"/orders/{order_id}"), lambda one: one[0] == 200, 20)
    return order_id


async def stock(app: App, goods: Json) -> int:
    return int((await app.ok("GET", f"/goods/{goods['goodsId']}"))["goods"]["goodsNumber"])


async def test_an_order_from_the_cart_to_the_receipt(healed: Chain, buyer: User) -> None:
    brand = healed.apps[0]
    goods = await add_goods(brand)
    await recharge(healed, buyer, "20.00")
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"requestId": new_id(), "couponPrice": "5.00", "expireTime": expires}
    coupon = (await brand.ok("POST", f"/users/{buyer.user_id}/coupons", body))["coupon"]
    await buyer.ok("PUT", f"/cart/{goods['goodsId']}", {"goodsNumber": 2})
    assert (await buyer.ok("GET", "/cart"))["cart"]["goodsAmount"] == "60.00"

    body = wanted(goods, 2, "70.00", couponId=coupon["couponId"], moneyPaid="20.00", fromCart=True)
    order = (await buyer.ok("POST", "/orders", body))["order"]
    path = f"/orders/{order['orderId']}"
    assert (order["orderStatus"], order["payStatus"], order["payAmount"]) == ("confirmed", "unpaid", "45.00")
    assert (await stock(brand, goods), await buyer.balance()) == (3, "0.00")
    await pay(healed, (await buyer.ok("POST", f"{path}:pay", {}))["payUrl"])

    async def read() -> Json:
        return dict((await buyer.ok("GET", path))["order"])

    await eventually(read, lambda one: one["payStatus"] == "paid", 20)
    await eventually(lambda: buyer.ok("GET", "/cart"), lambda one: one["cart"]["lines"] == [], 20)
    await brand.ok("POST", f"/users/{buyer.user_id}{path}:ship", {})
    received = (await buyer.ok("POST", f"{path}:receive", {}))["order"]
    assert received["shippingStatus"] == "received"
    events = [one["event"] for one in (await buyer.ok("GET", f"{path}/events"))["events"]]
    assert events == ["CREATE", "CONFIRM", "OPEN_PAYMENT", "PAY", "SHIP", "RECEIVE"]


async def test_a_cancelled_order_gives_everything_back(healed: Chain, buyer: User) -> None:
    brand = healed.apps[0]
    goods = await add_goods(brand)
    await recharge(healed, buyer, "20.00")
    order = (await buyer.ok("POST", "/orders", wanted(goods, 2, "70.00", moneyPaid="20.00")))["order"]
    await buyer.ok("POST", f"/orders/{order['orderId']}:cancel", {})
    await eventually(lambda: stock(brand, goods), lambda left: left == 5, 20)
    await eventually(buyer.balance, lambda balance: balance == "20.00", 20)


async def test_money_for_a_cancelled_order_goes_back_by_itself(healed: Chain, buyer: User) -> None:
    goods = await add_goods(healed.apps[0])
    order = (await buyer.ok("POST", "/orders", wanted(goods, 1, "40.00")))["order"]
    path = f"/orders/{order['orderId']}"
    url = (await buyer.ok("POST", f"{path}:pay", {}))["payUrl"]
    cancelling = asyncio.create_task(buyer.call("POST", f"{path}:cancel", {}))
    # The channel refuses money for a payment that is closed there.
    with suppress(AssertionError):
        await pay(healed, url)
    status, problem = await cancelling
    now = (await buyer.ok("GET", path))["order"]
    if status == 200:
        assert now["orderStatus"] == "cancelled"
    else:
        assert (problem["reason"], now["payStatus"]) == ("ORDER_NOT_CANCELLABLE", "paid")


async def test_nobody_sees_or_changes_what_is_anothers(healed: Chain, buyer: User) -> None:
    goods = await add_goods(healed.apps[0])
    order = (await buyer.ok("POST", "/orders", wanted(goods, 1, "40.00")))["order"]
    other = await register(healed.apps[0])
    status, problem = await other.call("GET", f"/orders/{order['orderId']}")
    assert (status, problem["reason"]) == (404, "ORDER_NOT_FOUND")
    status, _ = await other.app.call("GET", f"/users/{buyer.user_id}/orders/{order['orderId']}")
    assert status == 403
    status, _ = await other.app.call("POST", "/goods", {})
    assert status == 403


async def test_a_flash_sale_has_as_many_winners_as_pieces_and_its_seller_is_paid_once(healed: Chain) -> None:
    seller, *buyers = [await register(healed.apps[0]) for _ in range(5)]
    for buyer in buyers:
        await recharge(healed, buyer, "10.00")
    now = datetime.now(UTC)
    body = {
        "requestId": new_id(), "goodsName": "robe", "price": "9.90", "goodsNumber": 2, "perUserLimit": 1,
        "startTime": now.isoformat(), "endTime": (now + timedelta(minutes=5)).isoformat(),
    }  # fmt: skip
    sale = (await seller.ok("POST", "/flashSales", body))["flashSale"]
    path = f"/flashSales/{sale['flashSaleId']}"
    answers = await asyncio.gather(*(one.call("POST", f"{path}:buy", {"requestId": new_id()}) for one in buyers))
    won = [(one, answer["attempt"]) for one, (status, answer) in zip(buyers, answers, strict=True) if status == 200]
    assert len(won) == 2
    assert {answer["reason"] for status, answer in answers if status != 200} == {"FLASH_SALE_SOLD_OUT"}
    for winner, attempt in won:
        order_id = await until_sold(winner, f"{path}/attempts/{attempt['attemptId']}")
        await seller.ok("POST", f"/sales/{order_id}:ship", {})
        for _ in range(2):
            await winner.ok("POST", f"/orders/{order_id}:receive", {})
    await eventually(seller.balance, lambda balance: balance == "19.80", 20)
    _, problem = await buyers[0].call("POST", f"{path}:buy", {"requestId": new_id()})
    assert problem["reason"] in {"FLASH_SALE_SOLD_OUT", "FLASH_SALE_LIMIT_REACHED"}


@pytest.mark.timeout(180)
async def test_refunds_go_back_the_way_the_money_came(healed: Chain, buyer: User) -> None:
    brand = healed.apps[0]
    goods = await add_goods(brand)
    await recharge(healed, buyer, "20.00")
    order = (await buyer.ok("POST", "/orders", wanted(goods, 1, "40.00", moneyPaid="15.00")))["order"]
    path = f"/orders/{order['orderId']}"
    await pay(healed, (await buyer.ok("POST", f"{path}:pay", {}))["payUrl"])
    await eventually(lambda: buyer.ok("GET", path), lambda one: one["order"]["payStatus"] == "paid", 20)
    refund = f"/users/{buyer.user_id}{path}:refund"
    first = (await brand.ok("POST", refund, {"requestId": new_id(), "refundAmount": "30.00"}))["order"]
    assert (first["orderStatus"], first["refundedAmount"]) == ("confirmed", "30.00")
    status, problem = await brand.call("POST", refund, {"requestId": new_id(), "refundAmount": "10.01"})
    assert (status, problem["reason"]) == (409, "REFUND_TOO_HIGH")
    last = (await brand.ok("POST", refund, {"requestId": new_id(), "refundAmount": "10.00"}))["order"]
    assert last["orderStatus"] == "refunded"
    # 5.00 were left of the recharge, and 15.00 of the order were coins.
    await eventually(buyer.balance, lambda balance: balance == "20.00", 20)
