"""Paying, and what is told more than once, too late, or in another order."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import grpc
import orjson
import pytest
import sqlalchemy as sa

from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from brandmesh.order.v1 import order_pb2 as pb
from brandmesh.order.v1.order_pb2_grpc import OrderServiceStub
from mesh.errors import DomainError, from_rpc_error
from mesh.testing import eventually
from order_rpc.order import tables
from order_rpc.payment import tables as payment_tables
from tests.order.order.coins import give_coins
from tests.order.order.shop import BRAND, Shop
from tests.order.order.test_placing import refusal

_numbers = itertools.count(1_000_000)

SUCCEEDED = messaging_pb2.CONSUMED_STATUS_SUCCEEDED
PROCESSING = messaging_pb2.CONSUMED_STATUS_PROCESSING


async def open_payment(shop: Shop, order: pb.Order) -> None:
    """Move an order as `PayOrder` does before it asks for the payment; no channel answers here.

    Asked once and no more: a peer would ask four times, and wait seconds in between.
    """
    request = pb.PayOrderRequest(brand_id=BRAND, user_id=order.user_id, order_id=order.order_id)
    async with grpc.aio.insecure_channel(shop.running.settings.listen) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await OrderServiceStub(channel).PayOrder(request)
    assert from_rpc_error(refused.value).reason == "PAYMENT_CHANNEL_UNAVAILABLE"
    assert (await shop.get(order)).pay_status == pb.PAY_STATUS_PAYING


async def tell(shop: Shop, topic: str, tag: str, order: pb.Order, msg_id: int = 0, **body: Any) -> int:
    """Tell the order service, as order_rmq does; answer what it made of it."""
    message = messaging_pb2.Message(
        msg_id=msg_id or next(_numbers),
        producer="payment",
        msg_topic=topic,
        msg_tag=tag,
        msg_key=order.order_id,
        msg_body=orjson.dumps(body).decode(),
    )
    request = messaging_pb2.ConsumeMessagesRequest(service="order", messages=[message])
    stub = MessageServiceStub(shop.running.peer.channel)
    (result,) = (await shop.call(stub.ConsumeMessages, request)).results
    return int(result.status)


async def paid(shop: Shop, order: pb.Order, msg_id: int = 0, amount_fen: int = 4000) -> int:
    return await tell(shop, "payment", "paid", order, msg_id, pay_id="9", amount_fen=amount_fen, paid_at_ms=1)


async def sweep(shop: Shop, orders_max: int = 9) -> int:
    request = pb.CancelOverdueOrdersRequest(orders_max=orders_max)
    return int((await shop.call(shop.jobs.CancelOverdueOrders, request)).cancelled_count)


async def written(shop: Shop, tag: str) -> list[dict[str, Any]]:
    rows = await shop.running.rows(tables.produced_message)
    return [orjson.loads(row["msg_body"]) for row in rows if row["msg_tag"] == tag]


async def test_002_11_the_paid_event_sets_pay_status_and_pay_time_however_often_it_comes(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    await open_payment(shop, order)
    number = next(_numbers)
    assert [await paid(shop, order, number) for _ in range(3)] == [SUCCEEDED] * 3
    first = await shop.get(order)
    assert (first.order_status, first.pay_status) == (pb.ORDER_STATUS_CONFIRMED, pb.PAY_STATUS_PAID)
    assert first.HasField("pay_time")
    # Told once more under another name, which changes nothing either.
    assert await paid(shop, order) == SUCCEEDED
    assert await shop.get(order) == first
    assert (await shop.events(order)).count("PAY") == 1


async def test_002_12_money_after_the_cancel_is_paid_back_once_and_does_not_bring_the_order_back(shop: Shop) -> None:
    goods = await shop.add_goods(number=5)
    order = await shop.order([(goods, 1)])
    await open_payment(shop, order)
    await shop.cancel(order)
    number = next(_numbers)
    for _ in range(3):
        assert await paid(shop, order, number) == SUCCEEDED
    assert (await shop.get(order)).order_status == pb.ORDER_STATUS_CANCELLED
    (wish,) = await written(shop, "refund_wanted")
    assert (wish["amount_fen"], wish["request_id"]) == (4000, "late/9")
    assert len(await written(shop, "close_wanted")) == 1


@pytest.mark.parametrize("round_number", range(5))
async def test_002_12_cancel_pay_and_time_out_have_one_winner(shop: Shop, round_number: int) -> None:
    goods = await shop.add_goods(number=5)
    order = await shop.order([(goods, 1)])
    await open_payment(shop, order)
    await shop.running.execute(sa.update(tables.orders).values(expire_time_ms=1))
    calls = [shop.cancel(order), paid(shop, order), tell(shop, "order", "timeout", order)]
    await asyncio.gather(*calls[round_number % 3 :], *calls[: round_number % 3], return_exceptions=True)
    now = await shop.get(order)
    steps = await shop.events(order)
    is_paid = now.pay_status == pb.PAY_STATUS_PAID
    assert is_paid == (now.order_status == pb.ORDER_STATUS_CONFIRMED)
    assert steps.count("CANCEL") == (0 if is_paid else 1)
    assert len(await written(shop, "refund_wanted")) == (0 if is_paid else 1)


async def test_002_10_a_payment_of_another_amount_is_refused_and_changes_nothing(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    await open_payment(shop, order)
    assert await paid(shop, order, amount_fen=3999) == PROCESSING
    assert (await shop.get(order)).pay_status == pb.PAY_STATUS_PAYING


async def test_002_10_a_payment_is_opened_for_what_is_left_to_pay_and_waits_only(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    await open_payment(shop, order)
    assert (await shop.payment(order)).pay_amount_fen == 4000
    await shop.running.execute(sa.update(tables.orders).values(expire_time_ms=1))
    assert (await refusal(shop.pay(order))).reason == "ORDER_NOT_PAYABLE"


async def test_002_12_an_unpaid_order_is_cancelled_by_its_message_and_gives_everything_back(shop: Shop) -> None:
    goods = await shop.add_goods(number=5)
    order = await shop.order([(goods, 2)])
    assert await tell(shop, "order", "timeout", order) == SUCCEEDED
    assert (await shop.get(order)).order_status == pb.ORDER_STATUS_CONFIRMED, "its time is not over"
    await shop.running.execute(sa.update(tables.orders).values(expire_time_ms=1))
    async with shop.running.consuming(sweep_seconds=60):
        assert await tell(shop, "order", "timeout", order) == SUCCEEDED
        now = await shop.until(order, order_status=pb.ORDER_STATUS_CANCELLED)
        assert now.cancel_reason == "TIMEOUT"

        async def is_back() -> bool:
            return await shop.stock(goods) == 5

        await eventually(is_back)


async def test_002_12_an_order_with_an_open_payment_is_ended_by_the_sweep_which_asks_after_it(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    await open_payment(shop, order)
    await shop.running.execute(sa.update(tables.orders).values(expire_time_ms=1))
    assert await tell(shop, "order", "timeout", order) == SUCCEEDED
    assert (await shop.get(order)).pay_status == pb.PAY_STATUS_PAYING
    assert await sweep(shop) == 1
    now = await shop.get(order)
    assert (now.order_status, now.cancel_reason) == (pb.ORDER_STATUS_CANCELLED, "TIMEOUT")


async def test_002_12_an_order_that_was_paid_in_time_waits_for_the_news_of_it(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    await open_payment(shop, order)
    await shop.running.execute(sa.update(payment_tables.payment).values(status="PAID", is_paid=2))
    for _ in range(2):
        await shop.running.execute(sa.update(tables.orders).values(expire_time_ms=1))
        assert await sweep(shop) == 0
        assert (await shop.running.rows(tables.orders))[0]["expire_time_ms"] > 1, "it is not asked after again at once"
    assert (await shop.get(order)).pay_status == pb.PAY_STATUS_PAYING
    assert await paid(shop, order) == SUCCEEDED
    assert (await shop.get(order)).pay_status == pb.PAY_STATUS_PAID
    assert await written(shop, "refund_wanted") == []


async def test_002_12_orders_that_wait_for_news_keep_no_other_from_its_end(shop: Shop) -> None:
    orders = [await shop.order([(await shop.add_goods(), 1)]) for _ in range(3)]
    for order in orders:
        await open_payment(shop, order)
    first_paid = payment_tables.payment.c.business_id == orders[0].order_id
    await shop.running.execute(sa.update(payment_tables.payment).where(first_paid).values(status="PAID", is_paid=2))
    await shop.running.execute(sa.update(tables.orders).values(expire_time_ms=1))
    assert [await sweep(shop, orders_max=1) for _ in range(4)] == [0, 1, 1, 0]


async def test_an_order_that_is_confirmed_while_the_sweep_waits_for_it_stays_confirmed(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    now = (await shop.running.rows(tables.orders))[0]
    unconfirmed = {"order_status": 0, "confirm_time_ms": 0, "expire_time_ms": 1}
    confirmed = {name: now[name] for name in unconfirmed}
    await shop.running.execute(sa.update(tables.orders).values(unconfirmed))
    async with shop.running.database.write() as connection:
        await connection.execute(sa.update(tables.orders).values(confirmed))
        waiting = asyncio.create_task(sweep(shop))
        done, _ = await asyncio.wait([waiting], timeout=1)
        assert not done, "it waits for the order"
    assert await waiting == 0
    assert (await shop.get(order)).order_status == pb.ORDER_STATUS_CONFIRMED


async def test_a_refund_comes_to_the_payment_whatever_its_request_is_called(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    await open_payment(shop, order)
    await shop.running.execute(sa.update(payment_tables.payment).values(status="PAID", is_paid=2))
    await paid(shop, order)
    await shop.refund(order, "15.00", "r" * 96)
    async with shop.running.consuming():

        async def is_wanted() -> bool:
            return (await shop.payment(order)).refunded_fen == 1500

        await eventually(is_wanted)


async def test_no_request_of_a_buyer_stands_in_the_way_of_an_order_of_a_flash_sale(shop: Shop) -> None:
    await shop.order([(await shop.add_goods(), 1)], request_id="flash_sale/900")
    sold = pb.Order(order_id="900", user_id="71")
    body: dict[str, Any] = {"brand_id": 7, "user_id": 71, "seller_id": 72, "goods_name": "水饺", "price_fen": 100}
    assert await tell(shop, "flash_sale", "sold", sold, **body) == SUCCEEDED
    assert (await shop.get(sold)).seller_id == "72"


async def test_002_12_refunds_together_are_never_more_than_was_paid(shop: Shop) -> None:
    await give_coins(shop, "15.00")
    order = await shop.order([(await shop.add_goods(), 1)], money_paid="15.00")
    assert (await refusal(shop.refund(order, "1.00"))).reason == "ORDER_NOT_REFUNDABLE"
    await open_payment(shop, order)
    await paid(shop, order, amount_fen=2500)
    calls = [shop.refund(order, "15.00") for _ in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, pb.Order) for one in answers) == 2
    assert {one.reason for one in answers if isinstance(one, DomainError)} == {"REFUND_TOO_HIGH"}
    last = await shop.refund(order, "10.00", "the-rest")
    assert (last.order_status, last.refunded_amount) == (pb.ORDER_STATUS_REFUNDED, "40.00")
    assert await shop.refund(order, "10.00", "the-rest") == last
    assert (await refusal(shop.refund(order, "9.00", "the-rest"))).reason == "KEY_REUSED"
    assert (await refusal(shop.refund(order, "1.00"))).reason == "ORDER_NOT_REFUNDABLE"
    assert sum(one["amount_fen"] for one in await written(shop, "refund_wanted")) == 2500
    assert sum(one["amount_fen"] for one in await written(shop, "refunded")) == 1500
    request = pb.ListOrderEventsRequest(brand_id=7, user_id=order.user_id, order_id=order.order_id)
    steps = (await shop.call(shop.orders.ListOrderEvents, request)).events
    said = [(step.event, step.remark) for step in steps if step.event.startswith("REFUND")]
    assert said == [("REFUND_PART", "15.00")] * 2 + [("REFUND_REST", "10.00")]


async def test_an_order_that_a_coupon_paid_ends_with_a_refund_of_nothing(shop: Shop) -> None:
    coupon = await shop.issue_coupon("50.00")
    order = await shop.order([(await shop.add_goods("30.00"), 1)], coupon_id=coupon.coupon_id)
    assert (await refusal(shop.refund(order, "1.00"))).metadata["refundable_amount"] == "0.00"
    for _ in range(2):
        assert (await shop.refund(order, "0.00", "ended")).order_status == pb.ORDER_STATUS_REFUNDED
    assert (await refusal(shop.ship(order))).reason == "ORDER_NOT_SHIPPABLE"
    assert await written(shop, "refund_wanted") == await written(shop, "refunded") == []


async def test_a_refund_of_nothing_is_refused_where_something_was_paid(shop: Shop) -> None:
    await give_coins(shop, "40.00")
    order = await shop.order([(await shop.add_goods("30.00"), 1)], money_paid="40.00")
    error = await refusal(shop.refund(order, "0.00"))
    assert (error.reason, error.violations[0].field) == ("INVALID_REQUEST", "refund_amount")
    assert await shop.get(order) == order


async def test_003_08_shipping_comes_before_the_receipt_and_both_only_when_it_is_paid(shop: Shop) -> None:
    order = await shop.order([(await shop.add_goods(), 1)])
    assert (await refusal(shop.ship(order))).reason == "ORDER_NOT_SHIPPABLE"
    await open_payment(shop, order)
    await paid(shop, order)
    assert (await refusal(shop.receive(order))).reason == "ORDER_NOT_SHIPPED"
    for _ in range(2):
        assert (await shop.ship(order)).shipping_status == pb.SHIPPING_STATUS_SHIPPED
    for _ in range(2):
        assert (await shop.receive(order)).shipping_status == pb.SHIPPING_STATUS_RECEIVED
    assert (await refusal(shop.cancel(order))).reason == "ORDER_NOT_CANCELLABLE"
    # The brand sells: nobody else is paid, and nobody is reminded.
    assert await written(shop, "received") == []
    remind = pb.RemindShippingRequest(brand_id=7, user_id=order.user_id, order_id=order.order_id)
    assert (await refusal(shop.call(shop.orders.RemindShipping, remind))).reason == "ORDER_SHIPPED"
