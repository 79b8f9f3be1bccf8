"""Recharges with the real payment service, its channels and order_rmq: from the button to the coins, and back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest_asyncio

from brandmesh.payment.v1 import payment_pb2
from brandmesh.wallet.v1 import wallet_pb2 as pb
from mesh.testing import eventually
from mesh.timestamps import to_ms
from tests.order.payment.harness import Desk, running_desk
from tests.order.sms_package.refusals import refused
from tests.order.wallet.harness import Till


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with running_desk(tmp_path, "wallet") as one:
        yield one
        await till_of(one).is_sound()


def till_of(desk: Desk) -> Till:
    return Till(desk.running, desk)  # type: ignore[arg-type]  # the real one, in place of the stand-in


def payment_of(recharge: pb.Recharge) -> payment_pb2.Payment:
    return payment_pb2.Payment(business="wallet", business_id=recharge.recharge_id, pay_url=recharge.pay_url)


async def test_003_08_a_recharge_is_paid_and_its_coins_are_there_once(desk: Desk) -> None:
    till = till_of(desk)
    recharge = await till.recharge("45.5")
    await desk.pay(payment_of(recharge))

    async def balance_is_there() -> bool:
        return await till.balance() == "45.50"

    async with desk.running.consuming():
        await eventually(balance_is_there)
        # Asked again, the channel says again that it was paid.
        await desk.query(payment_of(recharge))
    assert (await till.get_recharge(recharge.recharge_id)).status == pb.RECHARGE_STATUS_PAID
    assert len((await till.logs()).money_logs) == 1


async def test_003_08_an_expired_recharge_has_its_payment_closed(desk: Desk) -> None:
    till = till_of(desk)
    recharge = await till.recharge()
    await till.run_out(recharge)

    async def is_closed() -> bool:
        status = (await desk.get(payment_of(recharge))).status
        return status == payment_pb2.PAYMENT_STATUS_CLOSED

    async with desk.running.consuming():
        await eventually(is_closed)
    assert (await till.get_recharge(recharge.recharge_id)).status == pb.RECHARGE_STATUS_EXPIRED
    assert await till.balance() == "0.00"


async def test_003_08_a_recharge_that_was_paid_in_time_waits_for_the_news_of_it(desk: Desk) -> None:
    till = till_of(desk)
    recharge, other = await till.recharge(), await till.recharge()
    await desk.pay(payment_of(recharge))

    async def is_paid() -> bool:
        return (await desk.get(payment_of(recharge))).status == payment_pb2.PAYMENT_STATUS_PAID

    await eventually(is_paid)
    paid_at_ms = to_ms((await desk.get(payment_of(recharge))).pay_time)
    await till.run_out(recharge, other, ended_at_ms=paid_at_ms + 1)
    await eventually(lambda: time.time_ns() // 1_000_000 > paid_at_ms + 1)

    assert [await till.expire_due(), await till.expire_due()] == [1, 0]
    assert (await till.get_recharge(recharge.recharge_id)).status == pb.RECHARGE_STATUS_CREATED
    assert (await till.get_recharge(other.recharge_id)).status == pb.RECHARGE_STATUS_EXPIRED

    async def is_credited() -> bool:
        return await till.balance() == "50.00"

    async with desk.running.consuming():
        await eventually(is_credited)
    assert (await till.get_recharge(recharge.recharge_id)).status == pb.RECHARGE_STATUS_PAID


async def test_003_08_late_money_is_paid_back_by_the_channel(desk: Desk) -> None:
    """It was paid when its time was over and its payment not closed yet; then its sweep and its money come at once."""
    till = till_of(desk)
    recharge = await till.recharge()
    await till.run_out(recharge)
    await desk.pay(payment_of(recharge))

    async def is_paid_back() -> bool:
        status = (await desk.get(payment_of(recharge))).status
        return status == payment_pb2.PAYMENT_STATUS_REFUNDED

    async with desk.running.consuming():
        await eventually(is_paid_back, 20)
    assert (await till.get_recharge(recharge.recharge_id)).status == pb.RECHARGE_STATUS_EXPIRED
    assert await till.balance() == "0.00"
    assert (await desk.at_the_channel())["refunds"] == {"made": 1, "amount": 5_000}


async def test_a_channel_that_is_not_known_is_refused_by_its_field(desk: Desk) -> None:
    till = till_of(desk)
    with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        await till.recharge(channel="gold")
    assert [violation.field for violation in refusal.value.violations] == ["channel"]
