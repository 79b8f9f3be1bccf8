"""From the news of money to the credits: order_rpc, its messages, order_rmq and the cost center together."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest

from brandmesh.smspackage.v1 import sms_package_pb2 as pb
from mesh.bus.port import Delivery, Message
from mesh.errors import DomainError
from mesh.message_queues import queue_of
from mesh.testing import eventually
from mesh.worker import Dead, Done, Retry
from order_rmq import consumer
from order_rpc.sms_package import storage, tables
from order_rpc.sms_package.payments import GRANTS
from tests.order.sms_package.harness import BRAND, DAY_MS, OTHER_BRAND, Shop, paid_at_channel
from tests.order.sms_package.refusals import refused

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


async def paid(shop: Shop, quantity: int = 1, brand_id: int = BRAND) -> pb.Order:
    order = await shop.create(quantity=quantity, brand_id=brand_id)
    await shop.open_and_notify(order)
    return order


async def is_fulfilled(shop: Shop, order: pb.Order) -> pb.Order | None:
    now = await shop.get(order)
    return now if now.status == pb.ORDER_STATUS_FULFILLED else None


async def fulfilled(shop: Shop, order: pb.Order) -> pb.Order:
    return await eventually(lambda: is_fulfilled(shop, order))


async def deliver(shop: Shop, *bodies: bytes) -> list[Delivery]:
    await shop.bus.publish("hand-fed", [Message(body) for body in bodies])
    deliveries = await shop.bus.receive("hand-fed", 100, 30)
    await shop.bus.ack(deliveries)
    return deliveries


def news(order: pb.Order | str, msg_id: int = 1) -> bytes:
    """A message that an order is paid."""
    key = order if isinstance(order, str) else order.order_id
    message = {"producer": "sms_package", "msg_id": msg_id, "msg_topic": "sms_package", "msg_tag": "paid"}
    return json.dumps({**message, "msg_key": key, "msg_body": "{}"}).encode()


def test_the_queue_that_is_filled_is_the_queue_that_is_emptied() -> None:
    assert queue_of("sms_package", "paid", GRANTS) == consumer.PAID_QUEUE


class TestTheWholeWay:
    async def test_buying_a_package_brings_its_credits(self, shop: Shop) -> None:
        await shop.open_account()
        async with shop.consuming():
            order = await shop.create(quantity=3)
            await shop.pay(await shop.open(order))
            done = await fulfilled(shop, order)

        (lot,) = await shop.lots()
        assert (await shop.account()).available == 3_000
        assert (lot.lot_id, lot.reference) == (done.lot_id, f"order/{order.order_id}")
        paid_at_ms = (await shop.rows(tables.orders))[0]["paid_at_ms"]
        assert lot.expire_time.ToMilliseconds() == paid_at_ms + 30 * DAY_MS
        assert abs(paid_at_ms - done.payment.pay_time.ToMilliseconds()) < 60_000
        await eventually(lambda: _is_settled(shop))

    async def test_a_brand_without_an_account_gets_one(self, shop: Shop) -> None:
        async with shop.consuming():
            await fulfilled(shop, await paid(shop))
        assert (await shop.account()).granted == 1_000

    async def test_twenty_notifications_at_once_grant_once(self, shop: Shop) -> None:
        await shop.open_account()
        async with shop.consuming():
            order = await shop.create()
            fields = paid_at_channel(await shop.open(order))
            await asyncio.gather(*(shop.notify(fields) for _ in range(20)))
            await fulfilled(shop, order)
        assert (await shop.account()).granted == 1_000

    async def test_two_consumers_and_every_message_three_times_grant_once(self, shop: Shop) -> None:
        await shop.open_account()
        orders = [await paid(shop) for _ in range(10)]
        for delivery in await shop.take_messages():
            await shop.bus.publish(consumer.PAID_QUEUE, [Message(delivery.body)] * 3)
        async with shop.consuming(), shop.consuming():
            for order in orders:
                await fulfilled(shop, order)
        assert (await shop.account()).granted == 10_000
        assert len(await shop.lots()) == 10

    async def test_overdue_orders_are_swept(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.run_out(order)
        async with shop.consuming():
            await eventually(lambda: _is_cancelled(shop, order))


class TestOutages:
    async def test_with_the_bus_away_payment_succeeds_and_the_event_follows(self, shop: Shop) -> None:
        await shop.open_account()
        shop.bus.is_away = True
        order = await paid(shop)
        # The payment service has its money, and the news of it waits.
        assert (await shop.get(order)).status == pb.ORDER_STATUS_CREATED
        with refused("BUS_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
            await shop.publish()
        async with shop.consuming():
            shop.bus.is_away = False
            await fulfilled(shop, order)
        assert (await shop.account()).granted == 1_000

    async def test_a_lost_message_is_published_again(self, shop: Shop) -> None:
        order = await paid(shop)
        assert await shop.published_ids() == [order.order_id]
        assert await shop.publish() == 0

        await shop.lose_message(order)

        assert await shop.publish() == 1
        assert await shop.published_ids() == [order.order_id]
        assert await shop.publish() == 0

    async def test_a_granted_order_is_not_published_again(self, shop: Shop) -> None:
        order = await paid(shop)
        await shop.grant()
        assert await shop.unsettled() == []
        await shop.lose_message(order)
        assert await shop.publish() == 0

    async def test_a_crash_between_the_grant_and_its_record_grants_once(self, shop: Shop) -> None:
        await shop.open_account()
        order = await paid(shop)
        async with shop.database.write() as connection:
            # While this lasts no grant can be recorded. The grant itself is in the cost center's own database.
            await storage.lock_orders(connection, [int(order.order_id)])
            async with shop.consuming() as crashing:
                await eventually(lambda: _has_granted(shop))
                crashing.cancel()
                await asyncio.wait([crashing])
        assert (await shop.get(order)).status == pb.ORDER_STATUS_PAID

        await shop.lose_message(order)
        async with shop.consuming():
            done = await fulfilled(shop, order)

        assert (await shop.account()).granted == 1_000
        assert [lot.lot_id for lot in await shop.lots()] == [done.lot_id]

    async def test_with_the_cost_center_away_the_message_comes_again(self, shop: Shop) -> None:
        order = await paid(shop)
        async with shop.consuming(peer_costcenter="127.0.0.1:1"):
            await eventually(lambda: _waits(shop))
        assert (await shop.get(order)).status == pb.ORDER_STATUS_PAID
        async with shop.consuming():
            await fulfilled(shop, order)


class TestHandling:
    async def test_many_messages_become_one_record(self, shop: Shop) -> None:
        orders = [await paid(shop) for _ in range(6)]
        deliveries = await deliver(shop, *(news(order) for order in [*orders, orders[0]]))
        assert await shop.granting.handle("", deliveries) == [Done()] * 7
        assert (await shop.account()).granted == 6_000

    async def test_orders_that_wait_for_nothing_are_done(self, shop: Shop) -> None:
        created = await shop.create()
        deliveries = await deliver(shop, news(created), news("1"))
        assert await shop.granting.handle("", deliveries) == [Done(), Done()]
        assert (await shop.get(created)).status == pb.ORDER_STATUS_CREATED

    @pytest.mark.parametrize("body", [b"", b"[1]", b'{"msg_key": 1}', news("0"), news("x"), news("9" * 19), b"\xff"])
    async def test_a_message_that_cannot_be_read_dies_alone(self, shop: Shop, body: bytes) -> None:
        order = await paid(shop)
        outcomes = await shop.granting.handle("", await deliver(shop, body, news(order)))
        assert isinstance(outcomes[0], Dead)
        assert outcomes[1] == Done()
        assert await is_fulfilled(shop, order)

    async def test_an_order_that_is_refused_does_not_keep_the_others(self, shop: Shop) -> None:
        stuck, order, other = await paid(shop), await paid(shop), await paid(shop, brand_id=OTHER_BRAND)
        async with shop.database.write() as connection:
            stuck_row = tables.orders.c.order_id == int(stuck.order_id)
            await connection.execute(tables.orders.update().where(stuck_row).values(paid_at_ms=1))

        outcomes = await shop.granting.handle("", await deliver(shop, news(stuck), news(order), news(other)))

        assert isinstance(outcomes[0], Retry)
        assert stuck.order_id in outcomes[0].reason
        assert "INVALID_EXPIRE_TIME" in outcomes[0].reason
        assert outcomes[1:] == [Done(), Done()]
        assert await is_fulfilled(shop, order)
        assert await is_fulfilled(shop, other)
        assert (await shop.get(stuck)).status == pb.ORDER_STATUS_PAID


class TestRecordGrants:
    async def test_a_repeat_changes_nothing(self, shop: Shop) -> None:
        order = await paid(shop)
        for _ in range(3):
            await shop.record_grants((order.order_id, "7-1"))
        assert (await shop.get(order)).lot_id == "7-1"

    async def test_another_lot_is_refused(self, shop: Shop) -> None:
        order = await paid(shop)
        await shop.record_grants((order.order_id, "7-1"))
        with refused("GRANT_REFUSED", FAILED_PRECONDITION):
            await shop.record_grants((order.order_id, "7-2"))
        assert (await shop.get(order)).lot_id == "7-1"

    async def test_one_that_is_refused_lets_none_be_recorded(self, shop: Shop) -> None:
        order, created, cancelled = await paid(shop), await shop.create(), await shop.create()
        await shop.cancel(cancelled)
        for bad in (created.order_id, cancelled.order_id, "1"):
            with refused("GRANT_REFUSED", FAILED_PRECONDITION) as refusal:
                await shop.record_grants((order.order_id, "7-1"), (bad, "7-2"))
            assert bad in str(refusal.value)
        assert (await shop.get(order)).status == pb.ORDER_STATUS_PAID

    async def test_an_order_named_twice_is_refused(self, shop: Shop) -> None:
        order = await paid(shop)
        with pytest.raises(DomainError, match="more than once"):
            await shop.record_grants((order.order_id, "7-1"), (order.order_id, "7-1"))

    async def test_a_thousand_at_once(self, shop: Shop) -> None:
        orders = [await paid(shop) for _ in range(3)]
        template = (await shop.rows(tables.orders))[0]
        copies = [template | {"order_id": number, "request_id": f"copy-{number}"} for number in range(1, 998)]
        async with shop.database.write() as connection:
            await connection.execute(tables.orders.insert(), copies)
        numbers = [str(number) for number in range(1, 998)] + [order.order_id for order in orders]
        assert len(await shop.paid_orders(*(pb.Order(order_id=number) for number in numbers))) == 1000
        await shop.record_grants(*((number, f"7-{number}") for number in numbers))
        assert {row["status"] for row in await shop.rows(tables.orders)} == {"FULFILLED"}


class TestPaidOrders:
    async def test_only_those_that_wait_for_their_grant(self, shop: Shop) -> None:
        waiting, created, granted = await paid(shop, quantity=2), await shop.create(), await paid(shop)
        await shop.record_grants((granted.order_id, "7-1"))
        (order,) = await shop.paid_orders(created, waiting, granted, waiting, pb.Order(order_id="1"))
        assert (str(order.order_id), order.brand_id, order.credits) == (waiting.order_id, BRAND, 2_000)


async def _is_cancelled(shop: Shop, order: pb.Order) -> bool:
    return (await shop.get(order)).status == pb.ORDER_STATUS_CANCELLED


async def _is_settled(shop: Shop) -> bool:
    return await shop.unsettled() == []


async def _has_granted(shop: Shop) -> bool:
    return (await shop.account()).granted > 0


async def _waits(shop: Shop) -> bool:
    """Whether a message was given back to come again later."""
    return (await shop.bus.depth(consumer.PAID_QUEUE)).delayed > 0
