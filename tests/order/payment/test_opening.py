"""Opening payments at channels, over gRPC and HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa

from brandmesh.payment.v1 import payment_pb2 as pb
from mesh.testing import eventually
from order_rpc.payment import tables
from tests.order.payment.harness import AMOUNT_FEN, CHANNELS, Desk, running_desk
from tests.order.payment.wire import Wire, running_wire
from tests.order.sms_package.refusals import refused

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

SlowDesk = tuple[Desk, Wire]


@pytest_asyncio.fixture
async def slow_desk(tmp_path: Path) -> AsyncIterator[SlowDesk]:
    """A desk whose calls of the first channel can be held on their way."""
    async with running_wire() as wire, running_desk(tmp_path, payment_channel_url=wire.url) as desk:
        wire.channel_url = desk.sandbox.url
        yield desk, wire


@pytest.mark.parametrize("channel", CHANNELS)
class TestOnEachChannel:
    async def test_where_to_pay_is_asked_for_again_once_the_channel_takes_no_money_there(
        self, desk: Desk, channel: str
    ) -> None:
        payment = await desk.create("o1", channel=channel)
        two_hours_ago = tables.payment.c.create_time_ms - 7_200_000
        await desk.running.execute(sa.update(tables.payment).values(create_time_ms=two_hours_ago))
        fault = await desk.sandbox.fault("payment_http_error", operations=["create"])
        if channel == "wechat":
            with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
                await desk.create("o1", channel=channel)
            async with desk.sandbox.http.delete(f"{desk.sandbox.url}/admin/faults/{fault}"):
                pass
        assert await desk.create("o1", channel=channel) == payment

    async def test_the_business_is_told_where_it_is_paid(self, desk: Desk, channel: str) -> None:
        payment = await desk.create("o1", channel=channel)
        assert payment.status == pb.PAYMENT_STATUS_PENDING
        assert (payment.business, payment.business_id, payment.channel) == ("order", "o1", channel)
        assert payment.pay_amount_fen == AMOUNT_FEN
        assert await desk.get(payment) == payment
        async with desk.sandbox.http.get(payment.pay_url) as page:
            assert "45.00 CNY" in await page.text()
        (row,) = await desk.running.rows(tables.payment)
        assert (row["is_paid"], row["brand_id"]) == (1, 7)

    async def test_a_business_has_one_payment(self, desk: Desk, channel: str) -> None:
        payments = await asyncio.gather(*(desk.create("o1", channel=channel) for _ in range(20)))
        assert len({payment.SerializeToString(deterministic=True) for payment in payments}) == 1
        assert (await desk.at_the_channel(channel))["payments"] == {"NOTPAY": 1, "SUCCESS": 0, "CLOSED": 0}
        assert len(await desk.running.rows(tables.payment)) == 1

    async def test_an_answer_that_is_lost_is_asked_for_again(self, desk: Desk, channel: str) -> None:
        await desk.sandbox.fault("payment_lose_response", count=1)
        payment = await desk.create(channel=channel)
        assert payment.pay_url
        assert (await desk.at_the_channel(channel))["payments"]["NOTPAY"] == 1

    async def test_a_channel_that_breaks_is_told_and_a_repeat_goes_on(self, desk: Desk, channel: str) -> None:
        fault = await desk.sandbox.fault("payment_http_error", status=502)
        with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE) as refusal:
            await desk.create("o1", channel=channel)
        assert refusal.value.retry_after_seconds
        (row,) = await desk.running.rows(tables.payment)
        assert (row["status"], row["pay_url"]) == ("PENDING", "")
        async with desk.sandbox.http.delete(f"{desk.sandbox.url}/admin/faults/{fault}"):
            pass
        payment = await desk.create("o1", channel=channel)
        assert payment.pay_id == str(row["pay_id"])
        assert payment.pay_url

    async def test_one_that_is_paid_is_answered_as_it_is(self, desk: Desk, channel: str) -> None:
        paid = await desk.paid(business_id="o1", channel=channel)
        again = await desk.create("o1", channel=channel)
        assert (again.status, again.pay_url) == (pb.PAYMENT_STATUS_PAID, paid.pay_url)


class TestAsking:
    async def test_no_channel_is_the_first(self, desk: Desk) -> None:
        payment = await desk.create("o1")
        assert payment.channel == "sandbox"
        assert await desk.create("o1", channel="sandbox") == payment

    async def test_another_service_has_its_own(self, desk: Desk) -> None:
        assert (await desk.create("1")).pay_id != (await desk.create("1", business="wallet")).pay_id

    @pytest.mark.parametrize(
        "change", [{"pay_amount_fen": 4_501}, {"brand_id": 8}, {"subject": "other"}, {"channel": "wechat"}]
    )
    async def test_another_body_is_refused(self, desk: Desk, change: dict[str, Any]) -> None:
        payment = await desk.create("o1")
        before = await desk.everything()
        with refused("KEY_REUSED", grpc.StatusCode.ALREADY_EXISTS):
            await desk.create("o1", **change)
        assert await desk.everything() == before
        assert await desk.create("o1") == payment

    async def test_an_unknown_channel_is_refused_by_field(self, desk: Desk) -> None:
        with refused("PAYMENT_CHANNEL_UNKNOWN", grpc.StatusCode.NOT_FOUND) as refusal:
            await desk.create(channel="cash")
        assert [violation.field for violation in refusal.value.violations] == ["channel"]
        assert "sandbox, wechat" in refusal.value.message
        assert await desk.running.rows(tables.payment) == []

    @pytest.mark.parametrize(
        "change",
        [{"pay_amount_fen": 0}, {"pay_amount_fen": -1}, {"business": "Order"}, {"brand_id": 0}, {"subject": ""},
         {"business_id": "x" * 65}],
    )  # fmt: skip
    async def test_what_breaks_the_contract_is_refused(self, desk: Desk, change: dict[str, Any]) -> None:
        with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT):
            await desk.create(**change)
        assert await desk.running.rows(tables.payment) == []

    async def test_what_is_not_there_is_not_found(self, desk: Desk) -> None:
        await desk.close("closed-before")
        for business_id in ("none", "closed-before"):
            nothing = pb.Payment(business="order", business_id=business_id)
            for act in (desk.get, desk.query):
                with refused("PAYMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
                    await act(nothing)


class TestWhatHappensMeanwhile:
    async def test_one_closed_before_the_channel_has_it_is_closed_there_too(self, slow_desk: SlowDesk) -> None:
        desk, wire = slow_desk
        opening = asyncio.create_task(desk.create("o1"))
        await wire.holding(wire.before)
        await desk.close("o1")
        wire.before.let_go()
        with refused("PAYMENT_CLOSED", FAILED_PRECONDITION):
            await opening
        assert (await desk.at_the_channel())["payments"] == {"NOTPAY": 0, "SUCCESS": 0, "CLOSED": 1}

    async def test_one_that_is_closed_after_a_crash_is_closed_by_the_sweep(self, slow_desk: SlowDesk) -> None:
        desk, wire = slow_desk
        opening = asyncio.create_task(desk.create("o1"))
        await wire.holding(wire.after)
        await desk.running.execute(tables.payment.update().values(status="CLOSED", close_due_at_ms=1))
        opening.cancel()
        await asyncio.wait([opening])
        wire.after.let_go()
        await eventually(lambda: _is_closed_there(desk))

    async def test_one_paid_meanwhile_is_paid(self, slow_desk: SlowDesk) -> None:
        desk, wire = slow_desk
        opening = asyncio.create_task(desk.create("o1"))
        opened = await wire.holding(wire.after)
        await desk.pay(pb.Payment(pay_url=str(opened["payUrl"])))
        await eventually(lambda: desk.webhook.said == ["SUCCESS"])
        wire.after.let_go()
        payment = await opening
        assert (payment.status, payment.trade_no) == (pb.PAYMENT_STATUS_PAID, opened["tradeNo"])
        assert len(await desk.told("paid")) == 1

    async def test_a_lost_answer_opens_no_second_one(self, slow_desk: SlowDesk) -> None:
        desk, wire = slow_desk
        wire.losses = 1
        wire.before.let_go()
        wire.after.let_go()
        # The caller's own client repeats what is UNAVAILABLE.
        assert (await desk.create()).pay_url
        assert wire.losses == 0
        assert (await desk.at_the_channel())["payments"] == {"NOTPAY": 1, "SUCCESS": 0, "CLOSED": 0}


async def _is_closed_there(desk: Desk) -> bool:
    await desk.close_payments()
    closed: bool = (await desk.at_the_channel())["payments"]["CLOSED"] == 1
    return closed
