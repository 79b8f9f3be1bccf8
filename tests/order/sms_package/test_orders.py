"""Orders and the catalogue, over gRPC."""

import asyncio
from typing import Any

import grpc
import pytest

from brandmesh.smspackage.v1 import sms_package_pb2 as pb
from mesh.testing import eventually
from order_rpc.sms_package import storage, tables
from order_rpc.sms_package.domain import OrderEvent
from tests.order.sms_package.harness import BRAND, OTHER_BRAND, PACKAGE, Shop, paid_at_channel
from tests.order.sms_package.refusals import refused


class TestCreateOrder:
    async def test_it_is_the_package_as_it_is_now(self, shop: Shop) -> None:
        order = await shop.create(quantity=3)

        assert order.status == pb.ORDER_STATUS_CREATED
        assert (order.brand_id, order.quantity, order.amount_fen) == (BRAND, 3, 13_500)
        assert (order.package.title, order.package.credits) == (PACKAGE.title, 1000)
        assert order.expire_time.seconds - order.create_time.seconds == 30 * 60
        assert not order.HasField("payment")
        assert await shop.get(order) == order

    async def test_no_quantity_is_one(self, shop: Shop) -> None:
        order = await shop.create(quantity=0)
        assert (order.quantity, order.amount_fen) == (1, 4_500)

    async def test_a_later_price_does_not_change_it(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.peer.call(shop.orders.PutPackage, _package(PACKAGE.package_id, price_fen=1, title="other"))
        assert (await shop.get(order)).package.price_fen == 4_500
        assert (await shop.create()).amount_fen == 1

    async def test_the_same_request_makes_one_order(self, shop: Shop) -> None:
        first = await shop.create(request_id="same")
        await shop.peer.call(shop.orders.PutPackage, _package(PACKAGE.package_id, price_fen=1))
        assert await shop.create(request_id="same") == first
        assert await shop.create(request_id="same", quantity=0) == first

    async def test_the_same_request_at_once_makes_one_order(self, shop: Shop) -> None:
        orders = await asyncio.gather(*(shop.create(request_id="same") for _ in range(20)))
        assert len({order.order_id for order in orders}) == 1
        assert len(await shop.rows(tables.orders)) == 1

    @pytest.mark.parametrize("change", [{"quantity": 2}, {"package_id": "other"}])
    async def test_another_body_is_refused(self, shop: Shop, change: dict[str, Any]) -> None:
        order = await shop.create(request_id="same")
        with refused("KEY_REUSED", grpc.StatusCode.ALREADY_EXISTS):
            await shop.create(request_id="same", **change)
        assert await shop.get(order) == order

    async def test_another_brand_may_use_the_same_id(self, shop: Shop) -> None:
        first = await shop.create(request_id="same")
        second = await shop.create(request_id="same", brand_id=OTHER_BRAND)
        assert first.order_id != second.order_id

    @pytest.mark.parametrize("package_id", ["none", "SMS-1000", "sms-1000 "])
    async def test_an_unknown_package_is_refused_by_field(self, shop: Shop, package_id: str) -> None:
        with refused("PACKAGE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusal:
            await shop.create(package_id=package_id, request_id="again")
        assert [violation.field for violation in refusal.value.violations] == ["package_id"]
        assert await shop.rows(tables.orders) == []
        assert (await shop.create(request_id="again")).quantity == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"quantity": -1},
            {"quantity": 1001},
            {"request_id": ""},
            {"request_id": "a b"},
            {"brand_id": 0},
            {"package_id": "sms\x00"},
        ],
    )
    async def test_what_breaks_the_contract_is_refused(self, shop: Shop, change: dict[str, Any]) -> None:
        with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT):
            await shop.create(**change)


class TestReading:
    async def test_another_brands_order_is_not_found(self, shop: Shop) -> None:
        order = await shop.create()
        order.brand_id = OTHER_BRAND
        for act in (shop.get, shop.open, shop.cancel):
            with refused("ORDER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
                await act(order)
        order.brand_id = BRAND
        assert (await shop.get(order)).status == pb.ORDER_STATUS_CREATED

    async def test_pages_hold_every_order_once_newest_first(self, shop: Shop) -> None:
        made = [(await shop.create()).order_id for _ in range(7)]
        await shop.create(brand_id=OTHER_BRAND)
        await shop.open(await shop.get(pb.Order(brand_id=BRAND, order_id=made[3])))

        listed: list[pb.Order] = []
        token = ""
        while True:
            request = pb.ListOrdersRequest(brand_id=BRAND, page_size=3, page_token=token)
            page = await shop.peer.call(shop.orders.ListOrders, request)
            listed += page.orders
            token = page.next_page_token
            if not token:
                break

        assert [order.order_id for order in listed] == made[::-1]
        assert [order.HasField("payment") for order in listed] == [False] * 3 + [True] + [False] * 3

    async def test_a_made_up_token_is_refused(self, shop: Shop) -> None:
        request = pb.ListOrdersRequest(brand_id=BRAND, page_token="nonsense")
        with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT):
            await shop.peer.call(shop.orders.ListOrders, request)


class TestCatalogue:
    async def test_packages_are_listed_by_price_and_replaced(self, shop: Shop) -> None:
        for package in (_package("big", price_fen=9_000), _package("small", price_fen=100), _package("small")):
            answer = await shop.peer.call(shop.orders.PutPackage, package)
            assert answer.package.title == package.title
        listed = await shop.peer.call(shop.orders.ListPackages, pb.ListPackagesRequest(brand_id=BRAND))
        assert [(one.package_id, one.price_fen) for one in listed.packages] == [
            ("small", 500),
            (PACKAGE.package_id, 4_500),
            ("big", 9_000),
        ]

    async def test_a_title_with_a_control_character_is_refused_by_its_field(self, shop: Shop) -> None:
        with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
            await shop.peer.call(shop.orders.PutPackage, _package("odd", title="a\x00b"))
        assert [violation.field for violation in refusal.value.violations] == ["title"]

    async def test_putting_one_package_many_times_at_once_puts_one(self, shop: Shop) -> None:
        await asyncio.gather(
            *(shop.peer.call(shop.orders.PutPackage, _package("new", price_fen=fen)) for fen in range(1, 11))
        )
        (row,) = [row for row in await shop.rows(tables.package) if row["package_id"] == "new"]
        assert row["price_fen"] in range(1, 11)


class TestCancelOrder:
    async def test_an_unpaid_order_is_cancelled_once(self, shop: Shop) -> None:
        order = await shop.create()
        cancelled = await shop.cancel(order)
        assert cancelled.status == pb.ORDER_STATUS_CANCELLED
        assert await shop.cancel(order) == cancelled

    async def test_its_payment_is_closed_here_and_at_the_channel(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        assert (await shop.cancel(order)).payment.status == pb.PAYMENT_STATUS_CLOSED
        await shop.deliver()
        assert await shop.desk.close_payments() == 1
        status, answer = await shop.sandbox.post_status(f"/pay/{payment.trade_no}:pay", {})
        assert (status, answer["code"]) == (409, "ORDER_CLOSED")

    async def test_a_paid_order_is_not(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.open_and_notify(order)
        with refused("ORDER_NOT_CANCELLABLE", grpc.StatusCode.FAILED_PRECONDITION) as refusal:
            await shop.cancel(order)
        assert refusal.value.metadata == {"status": "PAID"}
        assert (await shop.get(order)).payment.status == pb.PAYMENT_STATUS_PAID

    async def test_a_fulfilled_order_is_not(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.open_and_notify(order)
        await shop.record_grants((order.order_id, "7-1"))
        with refused("ORDER_NOT_CANCELLABLE", grpc.StatusCode.FAILED_PRECONDITION):
            await shop.cancel(order)

    async def test_the_channel_being_away_does_not_keep_it(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.open(order)
        await shop.sandbox.stop()
        cancelled = await shop.cancel(order)
        await shop.deliver()
        assert cancelled.status == pb.ORDER_STATUS_CANCELLED
        assert cancelled.payment.status == pb.PAYMENT_STATUS_CLOSED


class TestOverdueOrders:
    async def test_they_are_cancelled_with_their_payments(self, shop: Shop) -> None:
        overdue, opened, fresh = [await shop.create() for _ in range(3)]
        payment = await shop.open(opened)
        await shop.run_out(overdue, opened)

        assert await shop.cancel_overdue() == 2
        assert await shop.cancel_overdue() == 0

        assert (await shop.get(overdue)).status == pb.ORDER_STATUS_CANCELLED
        assert (await shop.get(opened)).payment.status == pb.PAYMENT_STATUS_CLOSED
        assert (await shop.get(fresh)).status == pb.ORDER_STATUS_CREATED
        await shop.deliver()
        assert await shop.desk.close_payments() == 1
        status, _ = await shop.sandbox.post_status(f"/pay/{payment.trade_no}:pay", {})
        assert status == 409

    async def test_no_more_than_asked_for(self, shop: Shop) -> None:
        orders = [await shop.create() for _ in range(5)]
        await shop.run_out(*orders)
        assert [await shop.cancel_overdue(2) for _ in range(4)] == [2, 2, 1, 0]

    async def test_one_that_was_paid_stays(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.open_and_notify(order)
        await shop.run_out(order)
        assert await shop.cancel_overdue() == 0
        assert (await shop.get(order)).status == pb.ORDER_STATUS_PAID

    async def test_002_12_one_that_was_paid_waits_for_the_news_of_it_and_keeps_no_other(self, shop: Shop) -> None:
        order, other = await shop.create(), await shop.create()
        await shop.desk.notify(paid_at_channel(await shop.open(order)))
        await shop.run_out(order, other)

        assert [await shop.cancel_overdue(1) for _ in range(3)] == [0, 1, 0]
        assert (await shop.get(order)).status == pb.ORDER_STATUS_CREATED

        await shop.deliver()
        assert (await shop.get(order)).status == pb.ORDER_STATUS_PAID
        assert (await shop.get(other)).status == pb.ORDER_STATUS_CANCELLED

    async def test_002_12_one_whose_money_is_being_taken_is_paid_though_the_sweep_waits_for_it(
        self, shop: Shop
    ) -> None:
        order, overdue = await shop.create(), await shop.create()
        await shop.run_out(order, overdue)
        async with shop.database.write() as connection:
            await storage.lock_orders(connection, [int(order.order_id)])
            sweep = asyncio.create_task(shop.cancel_overdue())
            await asyncio.wait([sweep], timeout=0.3)  # for the sweep to come to what is held, where it can
            await storage.move_orders(connection, [int(order.order_id)], OrderEvent.PAY, paid_at_ms=1)
        assert await sweep == 1
        assert (await shop.get(order)).status == pb.ORDER_STATUS_PAID
        assert (await shop.get(overdue)).status == pb.ORDER_STATUS_CANCELLED

    async def test_one_cannot_be_paid_even_before_the_sweep_comes(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.run_out(order)
        with refused("ORDER_NOT_PAYABLE", grpc.StatusCode.FAILED_PRECONDITION):
            await shop.open(order)

    async def test_money_that_comes_before_the_sweep_counts(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        await shop.run_out(order)
        await shop.pay(payment)
        await eventually(lambda: shop.webhook.said == ["SUCCESS"])
        await shop.deliver()
        assert await _becomes(shop, order, pb.ORDER_STATUS_PAID)

    async def test_the_channel_being_away_does_not_keep_them(self, shop: Shop) -> None:
        orders = [await shop.create() for _ in range(3)]
        for order in orders:
            await shop.open(order)
        await shop.run_out(*orders)
        await shop.sandbox.stop()
        assert await shop.cancel_overdue() == 3


async def _becomes(shop: Shop, order: pb.Order, status: pb.OrderStatus.ValueType) -> bool:
    async def is_so() -> bool:
        return (await shop.get(order)).status == status

    return await eventually(is_so)


def _package(package_id: str, **changes: Any) -> pb.PutPackageRequest:
    usual: dict[str, Any] = {"title": "五百条短信", "credits": 500, "price_fen": 500, "valid_days": 7}
    return pb.PutPackageRequest(package_id=package_id, **(usual | changes))
