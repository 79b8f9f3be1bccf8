"""Paying back: never more than was paid, once, and as long as nobody knows."""

import asyncio
from typing import Any

import grpc
import pytest

from brandmesh.payment.v1 import payment_pb2 as pb
from mesh.errors import DomainError
from mesh.testing import eventually
from order_rpc.payment import tables
from tests.order.payment.harness import CHANNELS, Desk
from tests.order.sms_package.refusals import refused

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def wanted(request_id: str, amount_fen: Any, **changes: Any) -> dict[str, Any]:
    return {"business": "order", "request_id": request_id, "amount_fen": amount_fen, "remark": "r", **changes}


async def refunds_at(desk: Desk, channel: str = "sandbox") -> tuple[int, int]:
    counts = (await desk.at_the_channel(channel))["refunds"]
    return counts["made"], counts["amount"]


@pytest.mark.parametrize("channel", CHANNELS)
class TestOnEachChannel:
    async def test_002_12_in_parts_until_all_of_it_is_back(self, desk: Desk, channel: str) -> None:
        payment = await desk.paid(business_id="o1", channel=channel)
        first = await desk.refund(payment, 1_500, "a")
        assert (first.status, first.amount_fen, first.remark) == (pb.REFUND_STATUS_PENDING, 1_500, "not wanted")
        assert await desk.make_refunds() == 1
        now = await desk.get(payment)
        assert (now.status, now.refunded_fen) == (pb.PAYMENT_STATUS_PAID, 1_500)
        assert now.refunds[0].refund_time.seconds > 0

        await desk.refund(payment, 3_000, "b")
        assert await desk.make_refunds() == 1
        now = await desk.get(payment)
        assert (now.status, now.refunded_fen) == (pb.PAYMENT_STATUS_REFUNDED, 4_500)
        assert [refund.status for refund in now.refunds] == [pb.REFUND_STATUS_MADE] * 2
        assert await refunds_at(desk, channel) == (2, 4_500)
        assert await desk.told("refunded") == [
            ("order", "o1", {"refund_id": refund.refund_id, "request_id": request_id, "amount_fen": refund.amount_fen})
            for refund, request_id in zip(now.refunds, "ab", strict=True)
        ]

    async def test_a_lost_answer_is_asked_for_again_with_the_same_number(self, desk: Desk, channel: str) -> None:
        payment = await desk.paid(channel=channel)
        await desk.refund(payment, 500)
        await desk.sandbox.fault("payment_lose_response", operations=["refund"], count=1)
        assert await desk.make_refunds() == 0
        assert await refunds_at(desk, channel) == (1, 500)
        assert await desk.make_refunds() == 0
        await desk.let_pauses_pass()
        assert await desk.make_refunds() == 1
        assert await refunds_at(desk, channel) == (1, 500)
        assert len(await desk.told("refunded")) == 1

    @pytest.mark.parametrize(
        "fault", [("payment_http_error", {"operations": ["refund"]}), ("payment_pending_refund", {})]
    )
    async def test_what_is_not_known_stays_pending(
        self, desk: Desk, channel: str, fault: tuple[str, dict[str, Any]]
    ) -> None:
        payment = await desk.paid(channel=channel)
        await desk.refund(payment, 4_500)
        await desk.sandbox.fault(fault[0], count=2, **fault[1])
        for _ in range(2):
            assert await desk.make_refunds() == 0
            assert [one.status for one in (await desk.get(payment)).refunds] == [pb.REFUND_STATUS_PENDING]
            await desk.let_pauses_pass()
        assert await desk.make_refunds() == 1
        assert (await desk.get(payment)).status == pb.PAYMENT_STATUS_REFUNDED
        assert await refunds_at(desk, channel) == (1, 4_500)

    async def test_one_that_the_channel_refuses_may_be_wanted_again(self, desk: Desk, channel: str) -> None:
        payment = await desk.paid(channel=channel)
        await desk.refund(payment, 4_500, "a")
        await desk.sandbox.fault("payment_refuse_refund", count=1)
        assert await desk.make_refunds() == 0
        now = await desk.get(payment)
        assert (now.status, now.refunded_fen) == (pb.PAYMENT_STATUS_PAID, 0)
        assert [one.status for one in now.refunds] == [pb.REFUND_STATUS_REFUSED]
        (row,) = await desk.running.rows(tables.refund)
        assert "takes no money" in row["refusal"]
        await desk.let_pauses_pass()
        assert await desk.make_refunds() == 0
        # The same request is that refusal; another one is another refund.
        assert (await desk.refund(payment, 4_500, "a")).status == pb.REFUND_STATUS_REFUSED
        await desk.refund(payment, 4_500, "b")
        assert await desk.make_refunds() == 1
        assert (await desk.get(payment)).status == pb.PAYMENT_STATUS_REFUNDED
        assert [body["request_id"] for _, _, body in await desk.told("refunded")] == ["b"]


class TestWanting:
    async def test_the_same_request_is_one_refund(self, desk: Desk) -> None:
        payment = await desk.paid()
        answers = await asyncio.gather(*(desk.refund(payment, 500, "same") for _ in range(10)))
        assert len({answer.refund_id for answer in answers}) == 1
        assert (await desk.get(payment)).refunded_fen == 500
        await desk.make_refunds()
        assert (await desk.refund(payment, 500, "same")).status == pb.REFUND_STATUS_MADE

    async def test_the_same_request_with_another_amount_is_refused(self, desk: Desk) -> None:
        payment = await desk.paid()
        await desk.refund(payment, 500, "same")
        before = await desk.everything()
        with refused("KEY_REUSED", grpc.StatusCode.ALREADY_EXISTS):
            await desk.refund(payment, 501, "same")
        assert await desk.everything() == before

    async def test_two_payments_may_have_one_request_id(self, desk: Desk) -> None:
        first, second = await desk.refund(await desk.paid(), 1, "a"), await desk.refund(await desk.paid(), 1, "a")
        assert first.refund_id != second.refund_id

    async def test_002_12_more_than_is_left_is_refused_with_figures(self, desk: Desk) -> None:
        payment = await desk.paid()
        await desk.refund(payment, 4_000)
        before = await desk.everything()
        with refused("REFUND_TOO_HIGH", FAILED_PRECONDITION) as refusal:
            await desk.refund(payment, 501)
        assert refusal.value.metadata == {"amount_fen": "501", "refundable_fen": "500"}
        assert await desk.everything() == before
        assert (await desk.refund(payment, 500)).amount_fen == 500

    async def test_002_12_what_is_not_paid_cannot_be_paid_back(self, desk: Desk) -> None:
        pending, closed = await desk.create(), await desk.create()
        await desk.close(closed.business_id)
        for payment, status in ((pending, "PENDING"), (closed, "CLOSED")):
            with refused("PAYMENT_NOT_PAID", FAILED_PRECONDITION) as refusal:
                await desk.refund(payment, 1)
            assert refusal.value.metadata == {"status": status}
        await desk.close("none")
        for business_id in ("none", "never"):
            with refused("PAYMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
                await desk.refund(pb.Payment(business="order", business_id=business_id), 1)
        assert await desk.running.rows(tables.refund) == []

    @pytest.mark.parametrize(("amount_fen", "request_id"), [(0, "a"), (-1, "a"), (1, "a b"), (1, "x" * 97)])
    async def test_what_breaks_the_contract_is_refused(self, desk: Desk, amount_fen: int, request_id: str) -> None:
        with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT):
            await desk.refund(await desk.paid(), amount_fen, request_id)

    async def test_002_12_many_at_once_are_never_more_than_was_paid(self, desk: Desk) -> None:
        payment = await desk.paid()
        said = await asyncio.gather(*(desk.refund(payment, 1_000) for _ in range(10)), return_exceptions=True)
        refusals = [one.reason for one in said if isinstance(one, DomainError)]
        assert refusals == ["REFUND_TOO_HIGH"] * 6
        assert (await desk.get(payment)).refunded_fen == 4_000
        assert await desk.make_refunds() == 4
        assert await refunds_at(desk) == (4, 4_000)


class TestMaking:
    async def test_two_passes_at_once_make_each_once(self, desk: Desk) -> None:
        payments = [await desk.paid() for _ in range(6)]
        for payment in payments:
            await desk.refund(payment, 4_500)
        assert sum(await asyncio.gather(desk.make_refunds(), desk.make_refunds())) == 6
        assert await refunds_at(desk) == (6, 6 * 4_500)
        assert len(await desk.told("refunded")) == 6

    async def test_a_pass_is_bounded(self, desk: Desk) -> None:
        payment = await desk.paid()
        for _ in range(5):
            await desk.refund(payment, 10)
        assert [await desk.make_refunds(2) for _ in range(4)] == [2, 2, 1, 0]

    async def test_one_that_nobody_can_make_does_not_keep_the_others(self, desk: Desk) -> None:
        stuck, other = await desk.paid(), await desk.paid()
        await desk.refund(stuck, 10)
        await desk.refund(other, 10)
        await desk.running.execute(
            tables.refund.update().where(tables.refund.c.pay_id == int(stuck.pay_id)).values(channel="gone")
        )
        assert await desk.make_refunds() == 1
        assert [one.status for one in (await desk.get(stuck)).refunds] == [pb.REFUND_STATUS_PENDING]

    async def test_order_rmq_has_them_made(self, desk: Desk) -> None:
        payment = await desk.paid()
        await desk.refund(payment, 4_500)
        closed = await desk.create()
        await desk.tell("close_wanted", (closed.business_id, {"business": "order"}))
        async with desk.running.consuming():
            await eventually(lambda: _is_refunded(desk, payment))
            await eventually(lambda: _is_closed_there(desk))


class TestByMessage:
    async def test_they_are_wanted_once_however_often_they_are_told(self, desk: Desk) -> None:
        payment, other = await desk.paid(business_id="o1"), await desk.paid(business_id="o2")
        news = [("o1", wanted("a", 500)), ("o2", wanted("a", 4_500)), ("o1", wanted("b", 600))]
        for _ in range(2):
            assert await desk.tell("refund_wanted", *news) == ["SUCCEEDED"] * 3
        assert await desk.make_refunds() == 3
        assert (await desk.get(payment)).refunded_fen == 1_100
        assert (await desk.get(other)).status == pb.PAYMENT_STATUS_REFUNDED

    async def test_too_much_is_refused_alone(self, desk: Desk) -> None:
        payment = await desk.paid(business_id="o1")
        said = await desk.tell("refund_wanted", ("o1", wanted("a", 4_000)), ("o1", wanted("b", 501)))
        assert said == ["SUCCEEDED", "PROCESSING"]
        assert (await desk.get(payment)).refunded_fen == 4_000

    async def test_one_that_is_too_early_comes_again(self, desk: Desk) -> None:
        payment = await desk.create("o1")
        assert await desk.tell("refund_wanted", ("o1", wanted("a", 500)), first_id=900) == ["PROCESSING"]
        await desk.notify_paid(payment)
        assert await desk.tell("refund_wanted", ("o1", wanted("a", 500)), first_id=900) == ["SUCCEEDED"]
        assert (await desk.get(payment)).refunded_fen == 500

    @pytest.mark.parametrize(
        "body",
        [
            {}, wanted("a", 0), wanted("a", "1"), wanted("a", True), wanted("", 1), wanted("x" * 97, 1),
            wanted("a", 1, business=""),
        ],
    )  # fmt: skip
    async def test_one_that_cannot_be_read_is_given_up_alone(self, desk: Desk, body: dict[str, Any]) -> None:
        payment = await desk.paid(business_id="o1")
        said = await desk.tell("refund_wanted", ("o1", body), ("o1", wanted("b", 2)))
        assert said == ["FAILED", "SUCCEEDED"]
        assert (await desk.get(payment)).refunded_fen == 2


async def _is_refunded(desk: Desk, payment: pb.Payment) -> bool:
    return (await desk.get(payment)).status == pb.PAYMENT_STATUS_REFUNDED


async def _is_closed_there(desk: Desk) -> bool:
    closed: bool = (await desk.at_the_channel())["payments"]["CLOSED"] == 1
    return closed
