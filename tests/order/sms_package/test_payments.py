"""The payments of orders: opened at the payment service, heard of by its messages, over gRPC, the bus and HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from brandmesh.payment.v1 import payment_pb2
from brandmesh.smspackage.v1 import sms_package_pb2 as pb
from mesh.testing import eventually
from order_rpc.payment import tables as payment_tables
from order_rpc.sms_package import tables
from tests.order.payment.wire import Wire, running_wire
from tests.order.sms_package.harness import Shop, paid_at_channel, running_shop
from tests.order.sms_package.refusals import reason_of, refused

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

SlowShop = tuple[Shop, Wire]


@pytest_asyncio.fixture
async def slow_shop(tmp_path: Path) -> AsyncIterator[SlowShop]:
    """A shop whose calls of the channel can be held on their way."""
    async with running_wire() as wire, running_shop(tmp_path, payment_channel_url=wire.url) as shop:
        wire.channel_url = shop.sandbox.url
        yield shop, wire


async def at_the_channel(shop: Shop) -> dict[str, object]:
    """How many payments the channel has, by status."""
    counts: dict[str, object] = (await shop.desk.at_the_channel())["payments"]
    return counts


async def state(shop: Shop, order: pb.Order) -> tuple[str, str]:
    """What the buyer sees."""
    now = await shop.get(order)
    return (
        pb.OrderStatus.Name(now.status).removeprefix("ORDER_STATUS_"),
        pb.PaymentStatus.Name(now.payment.status).removeprefix("PAYMENT_STATUS_"),
    )


async def payment_of(shop: Shop, order: pb.Order) -> payment_pb2.Payment:
    """What the payment service has."""
    return await shop.desk.get(payment_pb2.Payment(business="sms_package", business_id=order.order_id))


class TestOpening:
    async def test_the_buyer_is_told_where_to_pay(self, shop: Shop) -> None:
        order = await shop.create(quantity=2)
        payment = await shop.open(order)

        assert payment.status == pb.PAYMENT_STATUS_PENDING
        assert payment.amount_fen == 9_000
        assert payment.pay_url == f"{shop.sandbox.url}/pay/{payment.trade_no}"
        assert (await shop.get(order)).payment == payment
        async with shop.sandbox.http.get(payment.pay_url) as page:
            assert "90.00 CNY" in await page.text()
        there = await payment_of(shop, order)
        assert (there.pay_id, there.pay_amount_fen) == (payment.payment_id, 9_000)

    async def test_repeats_answer_the_same(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        assert await asyncio.gather(*(shop.open(order) for _ in range(5))) == [payment] * 5

    async def test_a_repeat_says_where_to_pay_now(self, shop: Shop) -> None:
        """A channel takes no money for ever at the place that it named; the payment service names another then."""
        order = await shop.create()
        first = await shop.open(order)
        elsewhere = f"{first.pay_url}?anew"
        await shop.running.execute(payment_tables.payment.update().values(pay_url=elsewhere))
        repeated = await shop.open(order)
        assert (repeated.payment_id, repeated.trade_no) == (first.payment_id, first.trade_no)
        assert repeated.pay_url == elsewhere
        assert (await shop.get(order)).payment == repeated

    async def test_many_at_once_open_one(self, shop: Shop) -> None:
        order = await shop.create()
        payments = await asyncio.gather(*(shop.open(order) for _ in range(20)))
        assert len({payment.SerializeToString(deterministic=True) for payment in payments}) == 1
        assert await at_the_channel(shop) == {"NOTPAY": 1, "SUCCESS": 0, "CLOSED": 0}

    async def test_the_channel_being_away_is_told_and_a_repeat_goes_on(self, shop: Shop, tmp_path: Path) -> None:
        same = {"database_url": shop.running.settings.database_url}
        (tmp_path / "away").mkdir()
        async with running_shop(tmp_path / "away", payment_channel_url="http://127.0.0.1:1", **same) as away:
            order = await away.create()
            with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE) as refusal:
                await away.open(order)
            assert refusal.value.retry_after_seconds
        (row,) = await shop.rows(payment_tables.payment)
        assert (row["status"], row["pay_url"]) == ("PENDING", "")
        assert not (await shop.get(order)).HasField("payment")

        payment = await shop.open(order)

        assert payment.payment_id == str(row["pay_id"])
        assert payment.pay_url

    async def test_the_payment_service_being_away_is_told_and_a_repeat_goes_on(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        (tmp_path / "away").mkdir()
        elsewhere = {"database_url": shop.running.settings.database_url, "peer_payment": "127.0.0.1:1"}
        async with running_shop(tmp_path / "away", **elsewhere) as away:
            order = await away.create()
            with refused("UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
                await away.open(order)
        assert (await shop.open(order)).pay_url

    async def test_an_answer_that_was_never_recorded_is_asked_for_again(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        await shop.running.execute(tables.orders.update().values(pay_status="NONE", pay_id=0, trade_no="", pay_url=""))
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
        await shop.deliver()
        wire.before.let_go()
        with refused("ORDER_NOT_PAYABLE", FAILED_PRECONDITION) as refusal:
            await opening
        assert refusal.value.metadata == {"status": "CANCELLED"}
        assert (await shop.get(order)).status == pb.ORDER_STATUS_CANCELLED
        assert await at_the_channel(shop) == {"NOTPAY": 0, "SUCCESS": 0, "CLOSED": 1}

    async def test_an_order_cancelled_before_its_payment_was_asked_for_gets_none(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.cancel(order)
        await shop.deliver()
        wanted = {"business": "sms_package", "business_id": order.order_id}
        with refused("PAYMENT_CLOSED", FAILED_PRECONDITION):
            await shop.desk.create(**wanted)
        assert await at_the_channel(shop) == {"NOTPAY": 0, "SUCCESS": 0, "CLOSED": 0}

    async def test_an_order_paid_meanwhile_is_paid(self, slow_shop: SlowShop) -> None:
        shop, wire = slow_shop
        order = await shop.create()
        opening = asyncio.create_task(shop.open(order))
        opened = await wire.holding(wire.after)
        await shop.pay(pb.Payment(pay_url=str(opened["payUrl"])))
        await eventually(lambda: shop.webhook.said == ["SUCCESS"])
        await shop.deliver()
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


class TestNewsOfMoney:
    async def test_a_payment_on_the_channels_page_pays_the_order(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        await shop.pay(payment)
        await eventually(lambda: shop.webhook.said == ["SUCCESS"])
        await shop.deliver()

        assert await state(shop, order) == ("PAID", "PAID")
        paid = (await shop.get(order)).payment
        assert (paid.payment_id, paid.trade_no, paid.pay_url) == (
            payment.payment_id,
            payment.trade_no,
            payment.pay_url,
        )
        assert paid.pay_time.seconds > 0
        assert await shop.published_ids() == [order.order_id]

    async def test_002_10_repeats_succeed_and_change_nothing(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        fields = paid_at_channel(payment)
        first = await shop.notify(fields)
        before = await shop.rows(tables.orders)
        assert await shop.notify(fields) == first
        assert await shop.notify(paid_at_channel(payment, paidAt="1")) == first
        assert await shop.rows(tables.orders) == before
        await shop.record_grants((order.order_id, "7-1"))
        assert await shop.notify(fields) == first
        assert await state(shop, order) == ("FULFILLED", "PAID")
        assert await shop.published_ids() == [order.order_id]

    async def test_a_message_told_again_changes_nothing(self, shop: Shop) -> None:
        order = await shop.create()
        await shop.open_and_notify(order)
        before = await shop.rows(tables.orders), await shop.rows(tables.produced_message)
        # As a new message, which no row of a consumed one tells from the first.
        table = payment_tables.produced_message
        row = next(one for one in await shop.rows(table) if one["msg_tag"] == "paid")
        await shop.running.execute(
            table.insert().values(row | {"id": row["id"] + 100, "msg_status": 0, "due_at_ms": 1})
        )
        await shop.publish()
        await shop.deliver()
        assert (await shop.rows(tables.orders), await shop.rows(tables.produced_message)) == before

    async def test_one_may_come_before_the_answer_was_written(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        await shop.running.execute(tables.orders.update().values(pay_status="NONE", pay_id=0, trade_no="", pay_url=""))
        await shop.notify(paid_at_channel(payment))
        assert await state(shop, order) == ("PAID", "PAID")
        assert (await shop.get(order)).payment.trade_no == payment.trade_no

    async def test_a_wrong_amount_changes_nothing(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        before = await shop.rows(tables.orders)
        with refused("PAYMENT_AMOUNT_WRONG", FAILED_PRECONDITION):
            await shop.notify(paid_at_channel(payment, amount="1"))
        assert await shop.rows(tables.orders) == before
        assert await shop.published_ids() == []


class TestMoneyForACancelledOrder:
    async def test_002_12_that_was_closed_at_the_payment_service_goes_back_by_itself(self, shop: Shop) -> None:
        order = await shop.create()
        payment = await shop.open(order)
        await shop.cancel(order)
        await shop.deliver()
        late = paid_at_channel(payment)
        await shop.pay(payment)
        for _ in range(3):
            assert (await shop.notify(late)).status == payment_pb2.PAYMENT_STATUS_REFUNDING
        assert await state(shop, order) == ("CANCELLED", "CLOSED")
        assert await shop.desk.make_refunds() == 1
        await shop.deliver()
        assert (await payment_of(shop, order)).status == payment_pb2.PAYMENT_STATUS_REFUNDED
        assert await state(shop, order) == ("CANCELLED", "CLOSED")
        assert await shop.paid_orders(order) == []
        assert await shop.published_ids() == []

    async def test_002_12_that_was_told_of_too_late_is_asked_for_and_goes_back(self, shop: Shop) -> None:
        """The payment was paid first; the order was cancelled before it heard of that."""
        order = await shop.create()
        payment = await shop.open(order)
        await shop.pay(payment)
        await eventually(lambda: shop.webhook.said == ["SUCCESS"])
        await shop.cancel(order)
        await shop.deliver()

        assert await state(shop, order) == ("CANCELLED", "REFUND_DUE")
        assert (await shop.get(order)).payment.pay_time.seconds > 0
        refunding = await payment_of(shop, order)
        assert [refund.amount_fen for refund in refunding.refunds] == [4_500]
        assert await shop.desk.make_refunds() == 1
        await shop.deliver()
        assert await state(shop, order) == ("CANCELLED", "REFUNDED")
        assert (await payment_of(shop, order)).status == payment_pb2.PAYMENT_STATUS_REFUNDED
        assert (await shop.cancel(order)).payment.status == pb.PAYMENT_STATUS_REFUNDED
        assert await shop.published_ids() == []

    async def test_002_12_that_is_never_told_of_is_found_when_the_payment_is_closed(self, shop: Shop) -> None:
        await shop.sandbox.fault("payment_no_notify")
        cancelled, overdue = await shop.create(), await shop.create()
        for order in (cancelled, overdue):
            await shop.pay(await shop.open(order))
        await shop.run_out(overdue)

        await shop.cancel(cancelled)
        assert await shop.cancel_overdue() == 1
        await shop.deliver()
        assert await shop.desk.close_payments() == 2

        for order in (cancelled, overdue):
            assert (await payment_of(shop, order)).status == payment_pb2.PAYMENT_STATUS_REFUNDING
            assert await state(shop, order) == ("CANCELLED", "CLOSED")
        assert await shop.desk.make_refunds() == 2
        assert shop.webhook.said == []

    async def test_002_12_all_of_it_with_order_rmq(self, shop: Shop) -> None:
        order, other = await shop.create(), await shop.create()
        payment, late = await shop.open(order), await shop.open(other)
        await shop.sandbox.fault("payment_late_notify", delay_seconds=0.5, count=1)
        async with shop.consuming():
            await shop.cancel(order)
            await shop.pay(late)
            await shop.cancel(other)
            await eventually(lambda: _is_refunded(shop, other))
            await eventually(lambda: _is_closed_there(shop))
        async with shop.sandbox.http.post(f"{payment.pay_url}:pay") as answer:
            assert answer.status == 409


class TestRaces:
    async def test_twenty_notifications_at_once_pay_once(self, shop: Shop) -> None:
        order = await shop.create()
        fields = paid_at_channel(await shop.open(order))
        answers = await asyncio.gather(*(shop.notify(fields) for _ in range(20)))
        assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
        await shop.deliver()
        assert await shop.published_ids() == [order.order_id]
        assert len(await shop.unsettled()) == 1

    @pytest.mark.parametrize("is_told_before", [True, False], ids=["the race is to the order", "to the payment"])
    async def test_002_12_of_cancelling_and_paying_one_wins(self, shop: Shop, is_told_before: bool) -> None:
        outcomes = set()
        for turn in range(12):
            order = await shop.create()
            fields = paid_at_channel(await shop.open(order))
            if is_told_before:
                await shop.desk.notify(fields)
            paying = shop.deliver if is_told_before else partial(shop.notify, fields)
            acts: list[Callable[[], Awaitable[object]]] = [partial(shop.cancel, order), paying]
            if turn % 2:
                acts.reverse()
            # In the first two turns the second comes after the first; in the others they come at once.
            said = [await reason_of(act) for act in acts] if turn < 2 else await asyncio.gather(*map(reason_of, acts))
            await shop.deliver()
            refusals = [reason for reason in said if reason]
            now = await state(shop, order)
            there = (await payment_of(shop, order)).status
            assert (refusals, now, there) in (
                (["ORDER_NOT_CANCELLABLE"], ("PAID", "PAID"), payment_pb2.PAYMENT_STATUS_PAID),
                ([], ("CANCELLED", "REFUND_DUE"), payment_pb2.PAYMENT_STATUS_PAID),
                ([], ("CANCELLED", "CLOSED"), payment_pb2.PAYMENT_STATUS_REFUNDING),
            )
            outcomes.add(now[0])
            assert turn != 1 or outcomes == {"PAID", "CANCELLED"}

    async def test_002_12_of_overdue_and_paid_one_wins(self, shop: Shop) -> None:
        orders = [await shop.create() for _ in range(10)]
        notifications = [paid_at_channel(await shop.open(order)) for order in orders]
        await shop.run_out(*orders)
        await asyncio.gather(*(shop.notify(one) for one in notifications), shop.cancel_overdue())
        await shop.deliver()
        for order in orders:
            now, payment = await state(shop, order), await payment_of(shop, order)
            if now == ("PAID", "PAID"):
                assert (payment.status, len(payment.refunds)) == (payment_pb2.PAYMENT_STATUS_PAID, 0)
            else:
                assert now in {("CANCELLED", "REFUND_DUE"), ("CANCELLED", "CLOSED")}
                assert [refund.amount_fen for refund in payment.refunds] == [4_500]


async def _is_refunded(shop: Shop, order: pb.Order) -> bool:
    return (await payment_of(shop, order)).status == payment_pb2.PAYMENT_STATUS_REFUNDED


async def _is_closed_there(shop: Shop) -> bool:
    return (await at_the_channel(shop))["CLOSED"] == 1
