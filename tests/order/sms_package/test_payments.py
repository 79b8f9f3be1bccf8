"""Opening payments at the channel and taking its notifications, over gRPC and HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from brandmesh.smspackage.v1 import sms_package_pb2 as pb
from mesh.errors import DomainError
from mesh.testing import eventually
from order_rpc.sms_package import tables
from tests.order.sms_package.harness import Shop, notification, running_shop, sign
from tests.order.sms_package.refusals import refused
from tests.order.sms_package.wire import Wire, running_wire
from tests.sandbox.harness import PAYMENT_SECRET, section

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

Forge = Callable[[dict[str, str]], dict[str, str]]


SlowShop = tuple[Shop, Wire]


@pytest_asyncio.fixture
async def slow_shop(tmp_path: Path) -> AsyncIterator[SlowShop]:
    """A shop whose calls of the channel can be held on their way."""
    async with running_wire() as wire, running_shop(tmp_path, payment_channel_url=wire.url) as shop:
        wire.channel_url = shop.sandbox.url
        yield shop, wire


async def at_the_channel(shop: Shop) -> dict[str, object]:
    """How many payments the channel has, by status."""
    return section((await shop.sandbox.stats("payment"))["payments"])


async def state(shop: Shop, order: pb.Order) -> tuple[str, str]:
    """The statuses of an order and its payment."""
    now = await shop.get(order)
    order_status = pb.OrderStatus.Name(now.status).removeprefix("ORDER_STATUS_")
    return order_status, pb.PaymentStatus.Name(now.payment.status).removeprefix("PAYMENT_STATUS_")


class TestCreatePayment:
    async def test_the_channel_opens_it(self, shop: Shop) -> None:
        order = await shop.create(quantity=2)
        payment = await shop.open(order)

        assert payment.status == pb.PAYMENT_STATUS_PENDING
        assert payment.amount_fen == 9_000
        assert payment.pay_url == f"{shop.sandbox.url}/pay/{payment.trade_no}"
        assert (await shop.get(order)).payment == payment
        async with shop.sandbox.http.get(payment.pay_url) as page:
            assert "90.00 CNY" in await page.text()

    async def test_repeats_answer_the_same(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        assert await asyncio.gather(*(shop.open(order) for _ in range(5))) == [payment] * 5

    async def test_many_at_once_open_one(self, shop: Shop) -> None:
        order = await shop.create()
        payments = await asyncio.gather(*(shop.open(order) for _ in range(20)))
        assert len({payment.SerializeToString(deterministic=True) for payment in payments}) == 1
        assert await at_the_channel(shop) == {"NOTPAY": 1, "SUCCESS": 0, "CLOSED": 0}

    async def test_the_channel_being_away_is_told_and_a_repeat_goes_on(self, shop: Shop, tmp_path: Path) -> None:
        same = {"database_url": shop.settings.database_url}
        (tmp_path / "away").mkdir()
        async with running_shop(tmp_path / "away", payment_channel_url="http://127.0.0.1:1", **same) as away:
            order = await away.create()
            with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE) as refusal:
                await away.open(order)
            assert refusal.value.retry_after_seconds
        (row,) = await shop.rows(tables.payment)
        assert (row["status"], row["pay_url"]) == ("PENDING", "")

        payment = await shop.open(order)

        assert payment.payment_id == str(row["payment_id"])
        assert payment.pay_url

    async def test_a_lost_answer_of_the_channel_is_asked_for_again(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        async with shop.database.write() as connection:
            await connection.execute(tables.payment.update().values(trade_no="", pay_url=""))
        assert await shop.open(order) == payment

    async def test_an_order_that_is_not_waiting_for_it_is_refused(self, shop: Shop) -> None:
        cancelled, paid, fulfilled = [await shop.create() for _ in range(3)]
        await shop.cancel(cancelled)
        await shop.open_and_notify(paid)
        await shop.open_and_notify(fulfilled)
        await shop.record_grants((fulfilled.order_id, "7-1"))
        for order, status in ((cancelled, "CANCELLED"), (paid, "PAID"), (fulfilled, "FULFILLED")):
            with refused("ORDER_NOT_PAYABLE", FAILED_PRECONDITION) as refusal:
                await shop.open(order)
            assert refusal.value.metadata == {"status": status}

    async def test_an_order_cancelled_meanwhile_is_closed_at_the_channel(self, slow_shop: SlowShop) -> None:
        shop, wire = slow_shop
        order = await shop.create()
        opening = asyncio.create_task(shop.open(order))
        await wire.holding(wire.before)
        await shop.cancel(order)
        wire.before.let_go()
        with refused("ORDER_NOT_PAYABLE", FAILED_PRECONDITION) as refusal:
            await opening
        assert refusal.value.metadata == {"status": "CANCELLED"}
        assert await state(shop, order) == ("CANCELLED", "CLOSED")
        assert await at_the_channel(shop) == {"NOTPAY": 0, "SUCCESS": 0, "CLOSED": 1}

    async def test_an_order_paid_meanwhile_is_paid(self, slow_shop: SlowShop) -> None:
        shop, wire = slow_shop
        order = await shop.create()
        opening = asyncio.create_task(shop.open(order))
        opened = await wire.holding(wire.after)
        await shop.pay(pb.Payment(pay_url=str(opened["payUrl"])))
        await eventually(lambda: shop.webhook.said == ["SUCCESS"])
        wire.after.let_go()
        with refused("ORDER_NOT_PAYABLE", FAILED_PRECONDITION) as refusal:
            await opening
        assert refusal.value.metadata == {"status": "PAID"}
        assert (await shop.get(order)).payment.trade_no == opened["tradeNo"]

    async def test_an_answer_that_the_channel_gave_and_the_wire_lost_opens_no_second_payment(
        self, slow_shop: SlowShop
    ) -> None:
        shop, wire = slow_shop
        wire.losses = 1
        wire.before.let_go()
        wire.after.let_go()
        # The caller's own client repeats what is UNAVAILABLE.
        assert (await shop.open(await shop.create())).pay_url
        assert wire.losses == 0
        assert await at_the_channel(shop) == {"NOTPAY": 1, "SUCCESS": 0, "CLOSED": 0}


class TestNotification:
    async def test_a_payment_on_the_channels_page_pays_the_order(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        await shop.pay(payment)
        await eventually(lambda: shop.webhook.said == ["SUCCESS"])

        assert await state(shop, order) == ("PAID", "PAID")
        paid = (await shop.get(order)).payment
        assert (paid.trade_no, paid.pay_url) == (payment.trade_no, payment.pay_url)
        assert paid.pay_time.seconds > 0
        assert await shop.published_ids() == [order.order_id]

    async def test_repeats_succeed_and_change_nothing(self, shop: Shop) -> None:
        order = await shop.create()
        fields = notification(await shop.open(order))
        first = await shop.notify(fields)
        before = await everything(shop)
        assert await shop.notify(fields) == first
        assert await shop.notify(notification(first, paidAt="1")) == first
        await shop.record_grants((order.order_id, "7-1"))
        assert await shop.notify(fields) == first
        assert (await everything(shop))["payment"] == before["payment"]
        assert await shop.published_ids() == [order.order_id]

    async def test_one_may_come_before_the_channels_answer_was_written(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        async with shop.database.write() as connection:
            await connection.execute(tables.payment.update().values(trade_no="", pay_url=""))
        assert (await shop.notify(notification(payment))).trade_no == payment.trade_no

    @pytest.mark.parametrize(
        "forge",
        [
            lambda fields: fields | {"amount": "1"},
            lambda fields: fields | {"sign": sign(fields, "not " + PAYMENT_SECRET)},
            lambda fields: fields | {"sign": ""},
            lambda fields: fields | {"sign": fields["sign"].upper()},
            lambda fields: fields | {"sign": "é" * 64},
            lambda fields: {name: value for name, value in fields.items() if name != "sign"},
            lambda fields: fields | {"extra": "1"},
            lambda fields: _signed_again(fields | {"merchantId": "190000002"}),
        ],
    )
    async def test_a_wrong_signature_is_refused_before_anything_is_looked_at(self, shop: Shop, forge: Forge) -> None:
        order = await shop.create()
        fields = notification(await shop.open(order))
        before = await everything(shop)
        for forged in (forge(fields), forge(fields | {"outTradeNo": "1"})):
            with refused("PAYMENT_SIGNATURE_WRONG", grpc.StatusCode.PERMISSION_DENIED):
                await shop.notify(forged)
        assert await everything(shop) == before

    @pytest.mark.parametrize(
        "change", [{"amount": "4499"}, {"amount": "4501"}, {"amount": "-4500"}, {"amount": "0"}, {"currency": "USD"}]
    )
    async def test_a_wrong_amount_changes_nothing(self, shop: Shop, change: dict[str, str]) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        before = await everything(shop)
        with refused("PAYMENT_AMOUNT_WRONG", FAILED_PRECONDITION) as refusal:
            await shop.notify(notification(payment, **change))
        assert refusal.value.metadata["expected"] == "4500 fen CNY"
        assert await everything(shop) == before
        assert await shop.published_ids() == []

    @pytest.mark.parametrize("payment_id", ["1", "0", "999999999999999999", "9" * 30, "unknown-1", "\uff11", "-1"])
    async def test_an_unknown_payment_is_refused(self, shop: Shop, payment_id: str) -> None:
        with refused("PAYMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            await shop.notify(notification(pb.Payment(payment_id=payment_id, amount_fen=1)))

    @pytest.mark.parametrize(
        ("field", "value"),
        [("status", "CLOSED"), ("status", ""), ("amount", "45.00"), ("amount", ""), ("paidAt", "now"), ("paidAt", ""),
         ("tradeNo", "1" * 65), ("tradeNo", "")],
    )  # fmt: skip
    async def test_one_that_tells_of_no_money_is_refused_by_field(self, shop: Shop, field: str, value: str) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        before = await everything(shop)
        fields = notification(payment)
        fields = {name: text for name, text in {**fields, field: value}.items() if text}
        with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
            await shop.notify(_signed_again(fields))
        assert [violation.field for violation in refusal.value.violations] == [f"fields[{field}]"]
        assert await everything(shop) == before

    async def test_money_for_a_cancelled_order_is_due_back(self, shop: Shop) -> None:
        order = await shop.create()
        fields = notification(await shop.open(order))
        await shop.cancel(order)
        for _ in range(3):
            with refused("ORDER_CANCELLED", FAILED_PRECONDITION) as refusal:
                await shop.notify(fields)
            assert refusal.value.metadata == {"payment_status": "REFUND_DUE"}
            assert await state(shop, order) == ("CANCELLED", "REFUND_DUE")
        assert (await shop.get(order)).payment.pay_time.seconds > 0
        assert (await shop.cancel(order)).payment.status == pb.PAYMENT_STATUS_REFUND_DUE
        assert await shop.published_ids() == []
        assert await shop.paid_orders(order) == []


class TestFaultsOfTheChannel:
    async def test_a_wrong_amount_then_the_right_one(self, shop: Shop) -> None:
        await shop.sandbox.fault("payment_wrong_amount", count=1, difference=-1)
        order = await pay_and_hear(shop, ["PAYMENT_AMOUNT_WRONG", "SUCCESS"])
        assert await state(shop, order) == ("PAID", "PAID")

    async def test_a_wrong_signature_then_the_right_one(self, shop: Shop) -> None:
        await shop.sandbox.fault("payment_wrong_sign", count=1)
        order = await pay_and_hear(shop, ["PAYMENT_SIGNATURE_WRONG", "SUCCESS"])
        assert await state(shop, order) == ("PAID", "PAID")

    async def test_an_unknown_payment_then_the_right_one(self, shop: Shop) -> None:
        await shop.sandbox.fault("payment_unknown_order", count=1)
        order = await pay_and_hear(shop, ["PAYMENT_NOT_FOUND", "SUCCESS"])
        assert await state(shop, order) == ("PAID", "PAID")

    async def test_ten_notifications_at_once(self, shop: Shop) -> None:
        await shop.sandbox.fault("payment_duplicate_notify", copies=10)
        order = await pay_and_hear(shop, ["SUCCESS"] * 10)
        assert await shop.published_ids() == [order.order_id]

    async def test_a_late_notification(self, shop: Shop) -> None:
        await shop.sandbox.fault("payment_late_notify", delay_seconds=0.2)
        order = await pay_and_hear(shop, ["SUCCESS"])
        assert await state(shop, order) == ("PAID", "PAID")

    async def test_a_notification_that_comes_after_the_cancellation(self, shop: Shop) -> None:
        await shop.sandbox.fault("payment_late_notify", delay_seconds=0.2)
        order = await shop.create()
        await shop.pay(await shop.open(order))
        await shop.cancel(order)
        await eventually(lambda: "ORDER_CANCELLED" in shop.webhook.said)
        assert await state(shop, order) == ("CANCELLED", "REFUND_DUE")

    async def test_money_that_is_never_told_of_is_found_when_the_order_is_cancelled(self, shop: Shop) -> None:
        await shop.sandbox.fault("payment_no_notify")
        cancelled, overdue = await shop.create(), await shop.create()
        for order in (cancelled, overdue):
            await shop.pay(await shop.open(order))
        await shop.run_out(overdue)

        assert (await shop.cancel(cancelled)).payment.status == pb.PAYMENT_STATUS_REFUND_DUE
        assert await shop.cancel_overdue() == 1

        assert await state(shop, overdue) == ("CANCELLED", "REFUND_DUE")
        assert shop.webhook.said == []


class TestRaces:
    async def test_twenty_notifications_at_once_pay_once(self, shop: Shop) -> None:
        order = await shop.create()
        fields = notification(await shop.open(order))
        answers = await asyncio.gather(*(shop.notify(fields) for _ in range(20)))
        assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
        assert await shop.published_ids() == [order.order_id]
        assert len(await shop.rows(tables.outbox)) == 1

    async def test_of_cancelling_and_paying_one_wins(self, shop: Shop) -> None:
        outcomes = set()
        for turn in range(20):
            order = await shop.create()
            fields = notification(await shop.open(order))
            acts = [shop.cancel(order), shop.notify(fields)]
            said = await asyncio.gather(*acts[:: 1 if turn % 2 else -1], return_exceptions=True)
            refusals = [one.reason for one in said if isinstance(one, DomainError)]
            now = await state(shop, order)
            assert (refusals, now) in (
                (["ORDER_NOT_CANCELLABLE"], ("PAID", "PAID")),
                (["ORDER_CANCELLED"], ("CANCELLED", "REFUND_DUE")),
            )
            outcomes.add(now)
        assert len(outcomes) == 2, "the race was never a race"

    async def test_of_overdue_and_paid_one_wins(self, shop: Shop) -> None:
        orders = [await shop.create() for _ in range(10)]
        notifications = [notification(await shop.open(order)) for order in orders]
        await shop.run_out(*orders)
        await asyncio.gather(
            *(shop.notify(one) for one in notifications), shop.cancel_overdue(), return_exceptions=True
        )
        for order in orders:
            assert await state(shop, order) in {("PAID", "PAID"), ("CANCELLED", "REFUND_DUE")}


async def pay_and_hear(shop: Shop, said: list[str]) -> pb.Order:
    """Pay a new order on the channel's page, and wait for what becomes of its notifications."""
    order = await shop.create()
    await shop.pay(await shop.open(order))
    await eventually(lambda: shop.webhook.said == said)
    return order


async def everything(shop: Shop) -> Mapping[str, object]:
    return {table.name: await shop.rows(table) for table in (tables.orders, tables.payment, tables.outbox)}


def _signed_again(fields: dict[str, str]) -> dict[str, str]:
    return {**fields, "sign": sign(fields)}
