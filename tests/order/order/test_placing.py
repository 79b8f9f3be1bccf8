"""Placing orders: what is refused writes nothing, what is confirmed has everything, what fails gives all of it back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from brandmesh.order.v1 import order_pb2 as pb
from mesh.errors import DomainError
from mesh.statements import read_in
from mesh.testing import eventually
from order_rpc.coupon import tables as coupon_tables
from order_rpc.goods import tables as goods_tables
from order_rpc.order import storage, tables
from order_rpc.order.checking import Checking
from order_rpc.order.domain import Amounts, OrderLine, OrderRequest
from order_rpc.wallet import tables as wallet_tables
from tests.order.order.coins import give_coins
from tests.order.order.shop import BRAND, OTHER_USER, USER, Shop


async def refusal(call: Any) -> DomainError:
    with pytest.raises(DomainError) as raised:
        await call
    return raised.value


async def test_002_07_a_confirmed_order_has_stock_coupon_and_coins_with_their_logs(shop: Shop) -> None:
    goods, coupon = await shop.add_goods("30.00", 10), await shop.issue_coupon("5.00")
    await give_coins(shop, "20.00")
    order = await shop.order([(goods, 2)], coupon_id=coupon.coupon_id, money_paid="20.00")
    assert (order.order_status, order.pay_status) == (pb.ORDER_STATUS_CONFIRMED, pb.PAY_STATUS_UNPAID)
    assert order.HasField("confirm_time")
    assert (order.goods_amount, order.shipping_fee, order.order_amount) == ("60.00", "10.00", "70.00")
    assert (order.coupon_paid, order.money_paid, order.pay_amount) == ("5.00", "20.00", "45.00")
    assert await shop.stock(goods) == 8
    logs = [row for row in await shop.running.rows(goods_tables.stock_log) if row["order_id"]]
    assert [(row["goods_number"], str(row["order_id"])) for row in logs] == [(-2, order.order_id)]
    used = await shop.coupon(coupon)
    assert (used.is_used, used.order_id) == (True, order.order_id)
    assert await shop.balance() == "0.00"


async def test_002_03_right_prices_are_asked_for_and_a_wrong_one_writes_nothing(shop: Shop) -> None:
    goods = await shop.add_goods("30.00")
    wrong: list[tuple[str, str, dict[str, Any]]] = [
        ("PRICE_WRONG", "lines[0].goods_price", {"lines": [_line(goods, 1, "29.99")]}),
        ("AMOUNT_WRONG", "order_amount", {"order_amount": "39.99"}),
        ("SHIPPING_FEE_WRONG", "shipping_fee", {"shipping_fee": "0.00"}),
        ("GOODS_NOT_FOUND", "lines[0].goods_id", {"lines": [_line(goods, 1, "30.00", "999")]}),
        ("STOCK_SHORT", "lines[0].goods_number", {"lines": [_line(goods, 11, "30.00")]}),
    ]
    for reason, field, changes in wrong:
        error = await refusal(shop.order([(goods, 1)], **changes))
        assert (error.reason, [violation.field for violation in error.violations]) == (reason, [field])
    assert await shop.running.rows(tables.orders) == []
    assert await shop.stock(goods) == 10


@pytest.mark.parametrize(("price", "fee"), [("100.00", "10.00"), ("100.01", "0.00")])
async def test_002_03_shipping_is_free_above_a_hundred_yuan(shop: Shop, price: str, fee: str) -> None:
    order = await shop.order([(await shop.add_goods(price), 1)])
    assert order.shipping_fee == fee


@pytest.mark.parametrize("number", [0, -1])
async def test_002_04_a_quantity_that_is_not_positive_is_refused(shop: Shop, number: int) -> None:
    goods = await shop.add_goods()
    error = await refusal(shop.order([(goods, 1)], lines=[_line(goods, number, "30.00")]))
    assert (error.reason, error.violations[0].field) == ("INVALID_REQUEST", "lines[0].goods_number")


async def test_002_04_exactly_the_remaining_stock_can_be_bought(shop: Shop) -> None:
    goods = await shop.add_goods(number=3)
    await shop.order([(goods, 3)])
    assert await shop.stock(goods) == 0
    assert (await refusal(shop.order([(goods, 1)]))).reason == "STOCK_SHORT"


async def test_002_05_a_coupon_of_another_used_or_missing_is_refused(shop: Shop) -> None:
    goods = await shop.add_goods()
    others, used = await shop.issue_coupon(user_id=OTHER_USER), await shop.issue_coupon()
    await shop.order([(goods, 1)], coupon_id=used.coupon_id)
    for coupon_id, reason in [
        (others.coupon_id, "COUPON_NOT_FOUND"), ("999", "COUPON_NOT_FOUND"), (used.coupon_id, "COUPON_USED"),
    ]:  # fmt: skip
        error = await refusal(shop.order([(goods, 1)], coupon_id=coupon_id))
        assert (error.reason, error.violations[0].field) == (reason, "coupon_id")
    assert await shop.stock(goods) == 9


async def test_002_05_of_concurrent_orders_with_one_coupon_one_wins_and_the_others_leave_nothing(shop: Shop) -> None:
    goods, coupon = await shop.add_goods(number=100), await shop.issue_coupon()
    async with shop.running.consuming():
        calls = [shop.order([(goods, 1)], coupon_id=coupon.coupon_id) for _ in range(8)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        won = [one for one in answers if isinstance(one, pb.Order)]
        assert len(won) == 1
        assert {one.reason for one in answers if isinstance(one, DomainError)} == {"COUPON_USED"}
        await eventually(lambda: _is(shop.stock(goods), 99))
    assert (await shop.coupon(coupon)).order_id == won[0].order_id


async def test_002_06_coins_beyond_the_balance_or_the_amount_are_refused(shop: Shop) -> None:
    goods = await shop.add_goods("30.00")
    await give_coins(shop, "10.00")
    error = await refusal(shop.order([(goods, 1)], money_paid="10.01"))
    assert (error.reason, error.metadata["user_money"]) == ("WALLET_SHORT", "10.00")
    assert (await refusal(shop.order([(goods, 1)], money_paid="40.01"))).reason == "AMOUNT_WRONG"
    assert (await refusal(shop.order([(goods, 1)], money_paid="-1"))).violations[0].field == "money_paid"
    assert await shop.running.rows(tables.orders) == []


async def test_002_06_concurrent_debits_never_go_below_zero(shop: Shop) -> None:
    goods = await shop.add_goods(number=100)
    await give_coins(shop, "100.00")
    async with shop.running.consuming():
        calls = [shop.order([(goods, 1)], money_paid="40.00") for _ in range(6)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, pb.Order) for one in answers) == 2
        await eventually(lambda: _is(shop.stock(goods), 98))
    assert await shop.balance() == "20.00"


async def test_a_repeated_request_is_one_order_and_gets_its_first_answer(shop: Shop) -> None:
    goods = await shop.add_goods(number=50)
    request = shop.request([(goods, 1)])
    answers = await asyncio.gather(*(shop.place(request) for _ in range(10)))
    assert len({one.order_id for one in answers}) == 1
    assert await shop.stock(goods) == 49
    other = pb.CreateOrderRequest()
    other.CopyFrom(request)
    other.consignee = "Wang"
    assert (await refusal(shop.place(other))).reason == "KEY_REUSED"


async def test_a_repeat_that_looks_before_the_order_is_there_and_checks_after_it_gets_the_order(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, looked, is_placed = Checking.check, asyncio.Event(), asyncio.Event()

    async def hold_the_first(self: Checking, request: OrderRequest, now_ms: int) -> tuple[list[OrderLine], Amounts]:
        if not looked.is_set():
            looked.set()
            await is_placed.wait()
        return await check(self, request, now_ms)

    monkeypatch.setattr(Checking, "check", hold_the_first)
    request = shop.request([(await shop.add_goods(number=1), 1)])
    repeat = asyncio.create_task(shop.place(request))
    await looked.wait()
    order = await shop.place(request)
    is_placed.set()
    assert await repeat == order


async def test_a_request_is_looked_for_among_those_of_its_user_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    goods, read = await shop.add_goods(number=50), []

    async def count_rows(*arguments: Any, **further: Any) -> list[sa.Row[Any]]:
        rows = await read_in(*arguments, **further)
        read.append(len(rows))
        return rows

    requests = [shop.request([(goods, 1)], user_id=str(user), request_id="order-1") for user in range(100, 110)]
    orders = await asyncio.gather(*(shop.place(request) for request in requests))
    assert len({order.order_id for order in orders}) == len(requests)
    names = [(BRAND, int(request.user_id), request.request_id) for request in requests[:2]]
    monkeypatch.setattr(storage, "read_in", count_rows)
    async with shop.running.database.read() as connection:
        found = await storage.read_orders_of_requests(connection, names)
    assert [str(found[name].order_id) for name in names] == [order.order_id for order in orders[:2]]
    assert read == [2]


async def test_an_order_with_nothing_left_to_pay_is_paid_at_once(shop: Shop) -> None:
    goods, coupon = await shop.add_goods("30.00"), await shop.issue_coupon("50.00")
    order = await shop.order([(goods, 1)], coupon_id=coupon.coupon_id)
    assert (order.pay_amount, order.pay_status) == ("0.00", pb.PAY_STATUS_PAID)
    assert (await refusal(shop.pay(order))).reason == "ORDER_NOT_PAYABLE"


async def test_002_08_a_failing_step_cancels_the_order_and_gives_back_exactly_what_was_taken(shop: Shop) -> None:
    goods, coupon = await shop.add_goods(number=5), await shop.issue_coupon()
    await give_coins(shop, "50.00")
    async with shop.running.consuming():
        # The balance is enough when it is looked at, and not when it is taken.
        requests = [shop.request([(goods, 1)], coupon_id=coupon.coupon_id, money_paid="30.00")]
        requests += [shop.request([(goods, 1)], money_paid="30.00") for _ in range(2)]
        answers = await asyncio.gather(*(shop.place(one) for one in requests), return_exceptions=True)
        won = [one for one in answers if isinstance(one, pb.Order)]
        assert len(won) == 1
        await eventually(lambda: _is(shop.stock(goods), 4))
        assert await shop.balance() == "20.00"
    orders = {row["request_id"]: row for row in await shop.running.rows(tables.orders)}
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(answer, DomainError) and request.request_id in orders:
            assert (orders[request.request_id]["order_status"], answer.reason) == (2, "WALLET_SHORT")
            assert (await refusal(shop.place(request))).reason == "WALLET_SHORT"


async def test_002_08_cancelling_twice_restores_once(shop: Shop) -> None:
    goods, coupon = await shop.add_goods(number=5), await shop.issue_coupon()
    await give_coins(shop, "20.00")
    order = await shop.order([(goods, 2)], coupon_id=coupon.coupon_id, money_paid="20.00")
    async with shop.running.consuming():
        first, second = await asyncio.gather(shop.cancel(order), shop.cancel(order))
        assert first.order_status == second.order_status == pb.ORDER_STATUS_CANCELLED
        await eventually(lambda: _is(shop.stock(goods), 5))
        await eventually(lambda: _is(shop.balance(), "20.00"))

        async def is_free() -> bool:
            return not (await shop.coupon(coupon)).is_used

        await eventually(is_free)
    assert (await shop.cancel(order)).cancel_reason == "USER"
    logs = [row["goods_number"] for row in await shop.running.rows(goods_tables.stock_log) if row["order_id"]]
    assert sorted(logs) == [-2, 2]
    assert len(await shop.running.rows(coupon_tables.coupon)) == 1
    money = [row["use_money_fen"] for row in await shop.running.rows(wallet_tables.money_log)]
    assert sorted(money) == [-2000, 2000, 2000]


async def test_an_order_whose_process_ended_in_the_middle_is_cancelled_by_the_sweep(shop: Shop) -> None:
    goods = await shop.add_goods(number=5)
    order = await shop.order([(goods, 2)])
    unconfirmed = {"order_status": 0, "confirm_time_ms": 0, "expire_time_ms": 1}
    await shop.running.execute(sa.update(tables.orders).values(unconfirmed))
    async with shop.running.consuming():
        await shop.until(order, order_status=pb.ORDER_STATUS_CANCELLED)
        await eventually(lambda: _is(shop.stock(goods), 5))


async def test_a_repeat_after_a_crash_goes_on_with_the_order(shop: Shop) -> None:
    goods = await shop.add_goods(number=5)
    request = shop.request([(goods, 2)])
    order = await shop.place(request)
    await shop.running.execute(sa.update(tables.orders).values(order_status=0, confirm_time_ms=0))
    again = await shop.place(request)
    assert (again.order_id, again.order_status) == (order.order_id, pb.ORDER_STATUS_CONFIRMED)
    assert await shop.stock(goods) == 3


async def test_another_users_order_is_not_found(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    for brand_id, user_id in [(BRAND, OTHER_USER), (BRAND + 1, USER)]:
        calls: list[tuple[Any, Any]] = [
            (shop.orders.GetOrder, pb.GetOrderRequest), (shop.orders.CancelOrder, pb.CancelOrderRequest),
            (shop.orders.PayOrder, pb.PayOrderRequest), (shop.orders.ShipOrder, pb.ShipOrderRequest),
            (shop.orders.ConfirmReceipt, pb.ConfirmReceiptRequest), (shop.orders.ShipSale, pb.ShipSaleRequest),
        ]  # fmt: skip
        for method, message in calls:
            request = message(brand_id=brand_id, user_id=user_id, order_id=order.order_id)
            assert (await refusal(shop.call(method, request))).reason == "ORDER_NOT_FOUND"
    assert (await shop.get(order)).order_status == pb.ORDER_STATUS_CONFIRMED


async def test_nobody_is_the_user_0_who_would_own_what_the_brand_sells(shop: Shop) -> None:
    order = await shop.order([(goods := await shop.add_goods(), 1)])
    calls: list[tuple[Any, Any]] = [
        (shop.orders.GetOrder, pb.GetOrderRequest), (shop.orders.CancelOrder, pb.CancelOrderRequest),
        (shop.orders.ShipSale, pb.ShipSaleRequest), (shop.orders.ConfirmReceipt, pb.ConfirmReceiptRequest),
    ]  # fmt: skip
    requests = [(method, message(brand_id=BRAND, user_id="00", order_id=order.order_id)) for method, message in calls]
    requests += [
        (shop.orders.ListSales, pb.ListSalesRequest(brand_id=BRAND, user_id="0")),
        (shop.orders.ListOrders, pb.ListOrdersRequest(brand_id=BRAND, user_id="0")),
        (shop.orders.CreateOrder, shop.request([(goods, 1)], user_id="0")),
    ]
    for method, request in requests:
        error = await refusal(shop.call(method, request))
        assert (error.reason, error.violations[0].field) == ("INVALID_REQUEST", "user_id")
    assert (await shop.get(order)).order_status == pb.ORDER_STATUS_CONFIRMED


@pytest.mark.parametrize(("field", "text"), [("address", "1 Bath\0Street"), ("consignee", "Li\r\nPay now: ...")])
async def test_a_text_that_no_database_or_mail_takes_spoils_nobody_elses_order(
    shop: Shop, field: str, text: str
) -> None:
    goods = await shop.add_goods()
    good = [shop.order([(goods, 1)], address="1 Bath Street\nFloor 2") for _ in range(4)]
    bad, *orders = await asyncio.gather(shop.order([(goods, 1)], **{field: text}), *good, return_exceptions=True)
    assert isinstance(bad, DomainError)
    assert (bad.reason, [violation.field for violation in bad.violations]) == ("INVALID_REQUEST", [field])
    assert [order for order in orders if not isinstance(order, pb.Order)] == []


def _line(goods: Any, number: int, price: str, goods_id: str = "") -> pb.CreateOrderLine:
    return pb.CreateOrderLine(goods_id=goods_id or goods.goods_id, goods_number=number, goods_price=price)


async def _is(value: Any, wanted: object) -> bool:
    found = await value
    assert found == wanted
    return True
