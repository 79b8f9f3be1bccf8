"""Closing payments, over gRPC and by messages."""

import asyncio
from typing import Any

import grpc
import pytest

from brandmesh.payment.v1 import payment_pb2 as pb
from mesh.errors import DomainError
from order_rpc.payment import tables
from tests.order.payment.harness import CHANNELS, Desk
from tests.order.sms_package.refusals import refused

FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
WANTED: dict[str, Any] = {"business": "order"}


async def at_the_channel(desk: Desk, channel: str = "sandbox") -> tuple[int, int, int]:
    """How many payments the channel has that are not paid, paid, closed."""
    counts = (await desk.at_the_channel(channel))["payments"]
    return counts["NOTPAY"], counts["SUCCESS"], counts["CLOSED"]


@pytest.mark.parametrize("channel", CHANNELS)
class TestOnEachChannel:
    async def test_one_is_closed_here_and_there_and_a_repeat_answers_the_same(self, desk: Desk, channel: str) -> None:
        payment = await desk.create("o1", channel=channel)
        closed = await desk.close("o1")
        assert closed.payment.status == pb.PAYMENT_STATUS_CLOSED
        assert await desk.close("o1") == closed
        assert await at_the_channel(desk, channel) == (0, 0, 1)
        async with desk.sandbox.http.post(f"{payment.pay_url}:pay") as answer:
            assert answer.status >= 400
        assert await desk.close_payments() == 0
        with refused("PAYMENT_CLOSED", FAILED_PRECONDITION):
            await desk.create("o1", channel=channel)

    async def test_002_12_one_that_turns_out_to_be_paid_goes_back(self, desk: Desk, channel: str) -> None:
        await desk.sandbox.fault("payment_no_notify")
        payment = await desk.create("o1", channel=channel)
        await desk.pay(payment)
        assert (await desk.close("o1")).payment.status == pb.PAYMENT_STATUS_REFUNDING
        assert await desk.make_refunds() == 1
        assert (await desk.get(payment)).status == pb.PAYMENT_STATUS_REFUNDED
        assert await desk.told("paid") == []

    async def test_a_channel_that_breaks_is_reached_later(self, desk: Desk, channel: str) -> None:
        await desk.create("o1", channel=channel)
        await desk.sandbox.fault("payment_http_error", operations=["close"], count=2)
        assert (await desk.close("o1")).payment.status == pb.PAYMENT_STATUS_CLOSED
        assert await desk.close_payments() == 0
        # It is put off, so that a channel that is away is not asked all the time.
        assert await desk.close_payments() == 0
        await desk.let_pauses_pass()
        assert await desk.close_payments() == 1
        assert await at_the_channel(desk, channel) == (0, 0, 1)
        assert [row["close_due_at_ms"] for row in await desk.running.rows(tables.payment)] == [0]

    async def test_a_lost_answer_is_asked_for_again(self, desk: Desk, channel: str) -> None:
        await desk.create("o1", channel=channel)
        await desk.sandbox.fault("payment_lose_response", operations=["close"], count=1)
        await desk.close("o1")
        await desk.let_pauses_pass()
        await desk.close_payments()
        assert await at_the_channel(desk, channel) == (0, 0, 1)
        assert [row["close_due_at_ms"] for row in await desk.running.rows(tables.payment)] == [0]

    async def test_one_that_the_channel_never_had_is_closed(self, desk: Desk, channel: str) -> None:
        fault = await desk.sandbox.fault("payment_http_error", operations=["create"])
        with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
            await desk.create("o1", channel=channel)
        async with desk.sandbox.http.delete(f"{desk.sandbox.url}/admin/faults/{fault}"):
            pass
        assert (await desk.close("o1")).payment.status == pb.PAYMENT_STATUS_CLOSED
        assert [row["close_due_at_ms"] for row in await desk.running.rows(tables.payment)] == [0]


class TestTombstones:
    async def test_a_business_without_a_payment_can_have_none(self, desk: Desk) -> None:
        for _ in range(2):
            assert not (await desk.close("o1")).HasField("payment")
        with refused("PAYMENT_CLOSED", FAILED_PRECONDITION):
            await desk.create("o1")
        assert await at_the_channel(desk) == (0, 0, 0)
        assert (await desk.create("o1", business="wallet")).pay_url

    async def test_of_opening_and_closing_at_once_nothing_stays_open(self, desk: Desk) -> None:
        async def open_(number: int) -> str:
            try:
                return pb.PaymentStatus.Name((await desk.create(f"o{number}")).status)
            except DomainError as error:
                return error.reason

        said = await asyncio.gather(*(act for number in range(10) for act in (open_(number), desk.close(f"o{number}"))))
        assert set(said[::2]) <= {"PAYMENT_CLOSED", "PAYMENT_STATUS_PENDING", "PAYMENT_STATUS_CLOSED"}
        await desk.let_pauses_pass()
        await desk.close_payments()
        assert (await at_the_channel(desk))[:2] == (0, 0)
        assert {row["status"] for row in await desk.running.rows(tables.payment)} == {"CLOSED"}


class TestByMessage:
    async def test_payments_are_closed_here_at_once_and_there_by_the_sweep(self, desk: Desk) -> None:
        for number in range(3):
            await desk.create(f"o{number}")
        keys = [(f"o{number}", WANTED) for number in range(4)]
        assert await desk.tell("close_wanted", *keys) == ["SUCCEEDED"] * 4
        assert await desk.tell("close_wanted", *keys) == ["SUCCEEDED"] * 4
        assert {row["status"] for row in await desk.running.rows(tables.payment)} == {"CLOSED"}
        assert await at_the_channel(desk) == (3, 0, 0)
        assert [await desk.close_payments(2), await desk.close_payments(2)] == [2, 1]
        assert await at_the_channel(desk) == (0, 0, 3)
        with refused("PAYMENT_CLOSED", FAILED_PRECONDITION):
            await desk.create("o3")

    async def test_one_that_is_paid_stays_paid(self, desk: Desk) -> None:
        payment = await desk.paid(business_id="o1")
        assert await desk.tell("close_wanted", ("o1", WANTED)) == ["SUCCEEDED"]
        assert (await desk.get(payment)).status == pb.PAYMENT_STATUS_PAID
        assert (await desk.close("o1")).payment.status == pb.PAYMENT_STATUS_PAID
        assert await desk.close_payments() == 0

    @pytest.mark.parametrize("body", [{}, {"business": 1}, {"business": ""}, {"business": "x" * 33}])
    async def test_one_that_cannot_be_read_is_given_up_alone(self, desk: Desk, body: dict[str, Any]) -> None:
        payment = await desk.create("o1")
        assert await desk.tell("close_wanted", ("o2", body), ("o1", WANTED)) == ["FAILED", "SUCCEEDED"]
        assert (await desk.get(payment)).status == pb.PAYMENT_STATUS_CLOSED

    async def test_many_at_once_in_any_order_wait_for_nobody(self, desk: Desk) -> None:
        keys = [(f"o{number}", WANTED) for number in range(20)]
        first, second = await asyncio.gather(
            desk.tell("close_wanted", *keys, first_id=1_000), desk.tell("close_wanted", *keys[::-1], first_id=2_000)
        )
        assert first == second == ["SUCCEEDED"] * 20
        assert len(await desk.running.rows(tables.payment)) == 20


class TestRaces:
    async def test_002_12_of_closing_and_paying_one_wins(self, desk: Desk) -> None:
        outcomes = set()
        for turn in range(20):
            payment = await desk.create()
            acts = [desk.close(payment.business_id), desk.notify_paid(payment)]
            await asyncio.gather(*acts[:: 1 if turn % 2 else -1])
            now = await desk.get(payment)
            news = [key for _, key, _ in await desk.told("paid") if key == payment.business_id]
            assert (now.status, len(now.refunds), len(news)) in {
                (pb.PAYMENT_STATUS_PAID, 0, 1),
                (pb.PAYMENT_STATUS_REFUNDING, 1, 0),
            }
            outcomes.add(now.status)
        assert len(outcomes) == 2, "the race was never a race"
