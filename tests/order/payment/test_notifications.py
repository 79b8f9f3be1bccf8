"""What channels tell of payments, and what is asked of them, over gRPC and HTTP."""

import asyncio
from collections.abc import Callable

import grpc
import pytest

from brandmesh.payment.v1 import payment_pb2 as pb
from mesh.testing import eventually
from order_rpc.payment import tables
from tests.order.payment.channel import notification, sign
from tests.order.payment.harness import CHANNELS, Desk, told
from tests.order.sms_package.refusals import refused
from tests.sandbox.harness import PAYMENT_SECRET

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

Forge = Callable[[dict[str, str]], dict[str, str]]


@pytest.mark.parametrize("channel", CHANNELS)
class TestOnEachChannel:
    async def test_002_10_money_on_the_channels_page_is_told_to_its_business(self, desk: Desk, channel: str) -> None:
        payment = await desk.create("o1", channel=channel)
        await desk.pay(payment)
        await eventually(lambda: desk.webhook.said == ["SUCCESS"])

        paid = await desk.get(payment)
        assert (paid.status, paid.pay_url) == (pb.PAYMENT_STATUS_PAID, payment.pay_url)
        assert paid.trade_no
        assert paid.pay_time.seconds > 0
        (row,) = await desk.running.rows(tables.payment)
        assert row["is_paid"] == 2
        assert await desk.told("paid") == [
            (
                "order",
                "o1",
                {
                    "pay_id": payment.pay_id,
                    "amount_fen": 4_500,
                    "paid_at_ms": paid.pay_time.ToMilliseconds(),
                    "trade_no": paid.trade_no,
                },
            )
        ]

    async def test_002_10_ten_notifications_at_once_are_one_message(self, desk: Desk, channel: str) -> None:
        await desk.sandbox.fault("payment_duplicate_notify", copies=10)
        await pay_and_hear(desk, channel, ["SUCCESS"] * 10)
        assert len(await desk.told("paid")) == 1

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            ("payment_wrong_amount", "PAYMENT_AMOUNT_WRONG"),
            ("payment_wrong_sign", "PAYMENT_SIGNATURE_WRONG"),
            ("payment_unknown_order", "PAYMENT_NOT_FOUND"),
        ],
    )
    async def test_002_10_a_wrong_one_is_refused_and_the_next_one_counts(
        self, desk: Desk, channel: str, fault: str, reason: str
    ) -> None:
        await desk.sandbox.fault(fault, count=1)
        payment = await pay_and_hear(desk, channel, [reason, "SUCCESS"])
        assert (await desk.get(payment)).status == pb.PAYMENT_STATUS_PAID
        assert len(await desk.told("paid")) == 1

    async def test_money_that_is_never_told_of_is_found_by_asking(self, desk: Desk, channel: str) -> None:
        await desk.sandbox.fault("payment_no_notify")
        payment = await desk.create(channel=channel)
        assert (await desk.query(payment)).status == pb.PAYMENT_STATUS_PENDING
        await desk.pay(payment)
        for _ in range(2):
            assert (await desk.query(payment)).status == pb.PAYMENT_STATUS_PAID
        assert len(await desk.told("paid")) == 1
        assert desk.webhook.said == []

    async def test_asking_a_channel_that_breaks_is_told(self, desk: Desk, channel: str) -> None:
        payment = await desk.create(channel=channel)
        await desk.sandbox.fault("payment_http_error", status=503, operations=["query"])
        with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
            await desk.query(payment)

    async def test_002_12_money_after_the_close_goes_back(self, desk: Desk, channel: str) -> None:
        await desk.sandbox.fault("payment_late_notify", delay_seconds=0.2)
        payment = await desk.create("o1", channel=channel)
        await desk.sandbox.fault("payment_http_error", operations=["close"], count=1)
        await desk.close("o1")
        await desk.pay(payment)
        await eventually(lambda: desk.webhook.said == ["SUCCESS"])

        late = await desk.get(payment)
        assert (late.status, late.refunded_fen) == (pb.PAYMENT_STATUS_REFUNDING, 4_500)
        assert [refund.status for refund in late.refunds] == [pb.REFUND_STATUS_PENDING]
        assert await desk.make_refunds() == 1
        back = await desk.get(payment)
        assert (back.status, [refund.status for refund in back.refunds]) == (
            pb.PAYMENT_STATUS_REFUNDED,
            [pb.REFUND_STATUS_MADE],
        )
        assert (await desk.at_the_channel(channel))["refunds"] == {"made": 1, "amount": 4_500}
        # Nobody hears of money that nobody was to have.
        assert await desk.told("paid") == await desk.told("refunded") == []


class TestRepeats:
    async def test_002_10_they_succeed_and_change_nothing(self, desk: Desk) -> None:
        payment = await desk.create()
        first = await desk.notify_paid(payment)
        before = await desk.everything()
        assert await desk.notify_paid(payment) == first
        assert await desk.notify_paid(payment, paidAt="1") == first
        assert await desk.notify_paid(payment, tradeNo="other") == first
        assert await desk.everything() == before

    async def test_002_10_twenty_at_once_are_one_message(self, desk: Desk) -> None:
        payment = await desk.create()
        answers = await asyncio.gather(*(desk.notify_paid(payment, paidAt="5") for _ in range(20)))
        assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
        assert len(await desk.told("paid")) == 1

    async def test_002_12_money_that_came_late_is_wanted_back_once(self, desk: Desk) -> None:
        payment = await desk.create()
        await desk.close(payment.business_id)
        await asyncio.gather(*(desk.notify_paid(payment) for _ in range(10)))
        assert [row["request_id"] for row in await desk.running.rows(tables.refund)] == [""]
        assert (await desk.get(payment)).refunded_fen == 4_500

    async def test_002_11_with_the_bus_away_the_message_waits_in_its_row(self, desk: Desk) -> None:
        desk.running.bus.is_away = True
        await desk.notify_paid(await desk.create())
        (row,) = await desk.running.rows(tables.produced_message)
        assert (row["msg_tag"], row["msg_status"]) == ("paid", 0)


class TestRefusals:
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
            lambda fields: signed_again(fields | {"merchantId": "190000002"}),
        ],
    )
    async def test_002_10_a_wrong_signature_is_refused_before_anything_is_looked_at(
        self, desk: Desk, forge: Forge
    ) -> None:
        fields = told(await desk.create())
        before = await desk.everything()
        for forged in (forge(fields), forge(fields | {"outTradeNo": "1"})):
            with refused("PAYMENT_SIGNATURE_WRONG", grpc.StatusCode.PERMISSION_DENIED):
                await desk.notify(forged)
        assert await desk.everything() == before

    @pytest.mark.parametrize(
        "change", [{"amount": "4499"}, {"amount": "4501"}, {"amount": "-4500"}, {"amount": "0"}, {"currency": "USD"}]
    )
    async def test_002_10_a_wrong_amount_changes_nothing(self, desk: Desk, change: dict[str, str]) -> None:
        payment = await desk.create()
        before = await desk.everything()
        with refused("PAYMENT_AMOUNT_WRONG", FAILED_PRECONDITION) as refusal:
            await desk.notify(notification(payment.pay_id, 4_500, "1", **change))
        assert refusal.value.metadata["expected"] == "4500 fen CNY"
        assert await desk.everything() == before

    @pytest.mark.parametrize("pay_id", ["1", "0", "999999999999999999", "9" * 30, "unknown-1", "\uff11", "-1"])
    async def test_002_10_an_unknown_payment_is_refused(self, desk: Desk, pay_id: str) -> None:
        with refused("PAYMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            await desk.notify(notification(pay_id, 1))

    async def test_one_of_another_channel_is_unknown(self, desk: Desk) -> None:
        payment = await desk.create(channel="wechat")
        with refused("PAYMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            await desk.notify_paid(payment)

    async def test_a_channel_that_is_not_set_up_is_refused(self, desk: Desk) -> None:
        with refused("PAYMENT_CHANNEL_UNKNOWN", grpc.StatusCode.NOT_FOUND):
            await desk.notify(told(await desk.create()), channel="cash")

    async def test_one_that_stands_for_none_is_unknown(self, desk: Desk) -> None:
        await desk.close("o1")
        (row,) = await desk.running.rows(tables.payment)
        with refused("PAYMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            await desk.notify(notification(str(row["pay_id"]), 1))

    @pytest.mark.parametrize(
        ("field", "value"),
        [("status", "CLOSED"), ("status", ""), ("amount", "45.00"), ("amount", ""), ("paidAt", "now"), ("paidAt", ""),
         ("tradeNo", "1" * 65), ("tradeNo", "")],
    )  # fmt: skip
    async def test_one_that_tells_of_no_money_is_refused_by_field(self, desk: Desk, field: str, value: str) -> None:
        fields = told(await desk.create())
        before = await desk.everything()
        fields = {name: text for name, text in {**fields, field: value}.items() if text}
        with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
            await desk.notify(signed_again(fields))
        assert [violation.field for violation in refusal.value.violations] == [f"fields[{field}]"]
        assert await desk.everything() == before


async def pay_and_hear(desk: Desk, channel: str, said: list[str]) -> pb.Payment:
    """Pay on the channel's page, and wait for what becomes of its notifications."""
    payment = await desk.create(channel=channel)
    await desk.pay(payment)
    # A channel that is not answered soon tells once more.
    await eventually(lambda: desk.webhook.said[: len(said)] == said)
    return payment


def signed_again(fields: dict[str, str]) -> dict[str, str]:
    return {**fields, "sign": sign(fields)}
