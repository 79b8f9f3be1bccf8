"""A day's payments and refunds against the channels' statements: nothing on a clean day, each kind of difference."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from brandmesh.payment.v1 import payment_pb2 as pb
from mesh.testing import eventually
from order_rpc.payment import tables
from order_rpc.payment.comparison import CHINA
from tests.order.payment.harness import CHANNELS, Desk, days_since_last_day, last_day
from tests.order.sms_package.refusals import refused

Found = list[tuple[str, str, str]]


@pytest.fixture
async def _on_last_day(desk: Desk) -> None:
    """Whatever is paid and paid back happens on the last day that can be compared, by the channels' clock."""
    await desk.sandbox.fault("payment_days_ago", days=days_since_last_day())


async def found(desk: Desk) -> Found:
    """The differences of the last day as (channel, kind, number)."""
    return [(one.channel, one.kind, one.pay_id) for one in (await desk.differences()).differences]


async def paid_and_paid_back(desk: Desk, channel: str) -> tuple[pb.Payment, pb.Refund]:
    payment = await desk.paid(channel=channel)
    refund = await desk.refund(payment, 500)
    assert await desk.make_refunds() == 1
    return payment, refund


@pytest.mark.usefixtures("_on_last_day")
@pytest.mark.parametrize("channel", CHANNELS)
class TestOnEachChannel:
    async def test_a_clean_day_has_no_differences(self, desk: Desk, channel: str) -> None:
        for _ in range(3):
            await paid_and_paid_back(desk, channel)
        closed = await desk.create(channel=channel)
        await desk.close(closed.business_id)
        await desk.create(channel=channel)

        done = await desk.reconcile()

        assert (done.date, done.compared_count, done.difference_count) == (last_day().isoformat(), 6, 0)
        listed = await desk.differences()
        assert (list(listed.differences), list(listed.reconciled_channels)) == ([], list(CHANNELS))

    async def test_what_the_channel_leaves_out_is_missing_there(self, desk: Desk, channel: str) -> None:
        payment, refund = await paid_and_paid_back(desk, channel)
        await desk.sandbox.fault("payment_statement_omits", count=2)
        assert (await desk.reconcile()).difference_count == 2
        assert await found(desk) == [
            (channel, "MISSING_THERE", payment.pay_id),
            (channel, "MISSING_THERE", refund.refund_id),
        ]
        (first, _) = (await desk.differences()).differences
        assert (first.ours, first.theirs) == ("payment of 4500 fen, PAID", "")

    async def test_what_nobody_wanted_is_missing_here(self, desk: Desk, channel: str) -> None:
        await paid_and_paid_back(desk, channel)
        await desk.sandbox.fault("payment_statement_invents", account=account_of(channel))
        assert (await desk.reconcile()).difference_count == 1
        assert await found(desk) == [(channel, "MISSING_HERE", "404")]
        (one,) = (await desk.differences()).differences
        assert (one.ours, one.theirs) == ("", "payment of 404 fen, PAID")

    async def test_another_amount_is_told(self, desk: Desk, channel: str) -> None:
        payment, refund = await paid_and_paid_back(desk, channel)
        await desk.sandbox.fault("payment_statement_amount", difference=-1)
        await desk.reconcile()
        assert await found(desk) == [(channel, "AMOUNT", payment.pay_id), (channel, "AMOUNT", refund.refund_id)]

    async def test_another_status_is_told(self, desk: Desk, channel: str) -> None:
        payment, _ = await paid_and_paid_back(desk, channel)
        await desk.sandbox.fault("payment_statement_status", count=1)
        await desk.reconcile()
        assert await found(desk) == [(channel, "STATUS", payment.pay_id)]
        (one,) = (await desk.differences()).differences
        assert (one.ours, one.theirs) == ("payment of 4500 fen, PAID", "payment of 4500 fen, CLOSED")

    async def test_money_that_was_never_told_of_is_a_status(self, desk: Desk, channel: str) -> None:
        await desk.sandbox.fault("payment_no_notify")
        payment = await desk.create(channel=channel)
        await desk.pay(payment)
        await desk.reconcile()
        assert await found(desk) == [(channel, "STATUS", payment.pay_id)]
        (one,) = (await desk.differences()).differences
        assert one.ours == "payment of 4500 fen, PENDING"

    async def test_a_refund_whose_answer_was_lost_is_a_status(self, desk: Desk, channel: str) -> None:
        payment = await desk.paid(channel=channel)
        refund = await desk.refund(payment, 500)
        await desk.sandbox.fault("payment_lose_response", operations=["refund"], count=1)
        await desk.make_refunds()
        await desk.reconcile()
        assert await found(desk) == [(channel, "STATUS", refund.refund_id)]

    async def test_a_channel_without_its_statement_is_asked_again(self, desk: Desk, channel: str) -> None:
        await paid_and_paid_back(desk, channel)
        fault = await desk.sandbox.fault(
            "payment_http_error", operations=["statement"], account=account_of(channel), status=503
        )
        with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
            await desk.reconcile()
        others = [one for one in CHANNELS if one != channel]
        assert list((await desk.differences()).reconciled_channels) == others
        async with desk.sandbox.http.delete(f"{desk.sandbox.url}/admin/faults/{fault}"):
            pass
        assert (await desk.reconcile()).compared_count == 2


class TestOnce:
    @pytest.mark.usefixtures("_on_last_day")
    async def test_a_day_is_compared_once_a_channel(self, desk: Desk) -> None:
        await desk.paid()
        await desk.sandbox.fault("payment_statement_omits")
        done = await asyncio.gather(*(desk.reconcile() for _ in range(5)))
        first = await desk.differences()
        assert {one.difference_count for one in done} == {1}
        # What the channel says later does not matter any more, nor is it asked.
        await desk.sandbox.fault("payment_http_error", operations=["statement"])
        assert await desk.reconcile() == done[0]
        assert await desk.differences() == first
        assert len(await desk.running.rows(tables.reconciliation)) == 2

    @pytest.mark.usefixtures("_on_last_day")
    async def test_differences_come_in_pages(self, desk: Desk) -> None:
        payments = [await desk.paid() for _ in range(5)]
        await desk.sandbox.fault("payment_statement_omits")
        await desk.reconcile()
        listed: list[str] = []
        token = ""
        while True:
            page = await desk.differences(page_size=2, page_token=token)
            listed += [one.pay_id for one in page.differences]
            if not (token := page.next_page_token):
                break
        assert listed == sorted(payment.pay_id for payment in payments)

    async def test_what_happens_today_is_left_to_tomorrow(self, desk: Desk) -> None:
        await desk.paid()
        done = await desk.reconcile()
        assert (done.compared_count, done.difference_count) == (0, 0)

    async def test_a_day_that_is_not_over_is_refused(self, desk: Desk) -> None:
        today = datetime.now(UTC).astimezone(CHINA).date()
        for day in (today, today + timedelta(days=1)):
            with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
                await desk.reconcile(day.isoformat())
            assert [violation.field for violation in refusal.value.violations] == ["date"]
        assert await desk.running.rows(tables.reconciliation) == []

    @pytest.mark.parametrize("date", ["2026-02-30", "2026-13-01", "0000-01-01"])
    async def test_what_is_no_day_is_refused(self, desk: Desk, date: str) -> None:
        for act in (desk.reconcile, desk.differences):
            with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT):
                await act(date)

    async def test_a_day_of_the_past_can_be_compared(self, desk: Desk) -> None:
        await desk.sandbox.fault("payment_days_ago", days=9)
        await desk.paid()
        day = (datetime.now(UTC).astimezone(CHINA) - timedelta(days=9)).date().isoformat()
        assert (await desk.reconcile(day)).compared_count == 1

    @pytest.mark.usefixtures("_on_last_day")
    async def test_order_rmq_has_the_last_day_compared(self, desk: Desk) -> None:
        await desk.paid()
        async with desk.running.consuming():
            await eventually(lambda: _is_reconciled(desk))


async def _is_reconciled(desk: Desk) -> bool:
    return len(await desk.running.rows(tables.reconciliation)) == len(CHANNELS)


def account_of(channel: str) -> str:
    return {"sandbox": "190000001", "wechat": "1900000002"}[channel]
