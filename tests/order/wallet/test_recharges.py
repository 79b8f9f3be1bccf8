"""Recharges: begun, paid, expired, paid late."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from brandmesh.wallet.v1 import wallet_pb2 as pb
from mesh.testing import eventually
from order_rpc.wallet import tables
from tests.order.running import running
from tests.order.sms_package.refusals import refused
from tests.order.wallet.harness import (
    BRAND,
    ENDED_AT_MS,
    FAILED,
    OTHER_BRAND,
    OTHER_USER,
    PROCESSING,
    SUCCEEDED,
    USER,
    Till,
    open_till,
    payment_refusal,
    serving_desk,
)

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
INVALID = grpc.StatusCode.INVALID_ARGUMENT
MINUTE_SECONDS = 60


async def test_003_08_a_recharge_says_where_to_pay_and_until_when(till: Till) -> None:
    recharge = await till.recharge("50.5", channel="sandbox")
    assert (recharge.status, recharge.amount, recharge.user_id) == (pb.RECHARGE_STATUS_CREATED, "50.50", str(USER))
    assert recharge.pay_url == f"https://pay.example/{recharge.recharge_id}"
    assert recharge.expire_time.seconds - recharge.create_time.seconds == 40 * MINUTE_SECONDS
    assert not recharge.HasField("pay_time")
    asked = till.desk.opened[recharge.recharge_id]
    assert (asked.business, asked.brand_id, asked.pay_amount_fen, asked.channel) == ("wallet", BRAND, 5_050, "sandbox")
    assert await till.balance() == "0.00"
    assert await till.get_recharge(recharge.recharge_id) == recharge


async def test_the_time_of_a_recharge_is_a_setting(tmp_path: Path) -> None:
    async with open_till(tmp_path, recharge_lifetime_minutes=5) as till:
        recharge = await till.recharge()
        assert recharge.expire_time.seconds - recharge.create_time.seconds == 5 * MINUTE_SECONDS


@pytest.mark.parametrize("amount", ["0", "0.0", "0.00", "-1", "1.005", "01", "", "1e3", "10000000000"])
async def test_003_08_coin_0_or_less_is_refused_by_its_field(till: Till, amount: str) -> None:
    with refused("INVALID_REQUEST", INVALID) as refusal:
        await till.recharge(amount)
    assert [violation.field for violation in refusal.value.violations] == ["amount"]
    assert await till.running.rows(tables.recharge) == []
    assert till.desk.opened == {}


async def test_a_repeat_is_the_same_recharge(till: Till) -> None:
    first = await till.recharge(request_id="one")
    assert await till.recharge(request_id="one") == first
    assert await asyncio.gather(*(till.recharge(request_id="one") for _ in range(5))) == [first] * 5
    assert len(till.desk.opened) == 1


async def test_a_repeat_says_where_to_pay_now(till: Till) -> None:
    """A channel takes no money for ever at the place that it named."""
    first = await till.recharge(request_id="one")
    till.desk.place = "https://Pay.example/anew"
    repeated = await till.recharge(request_id="one")
    assert repeated.pay_url == f"https://Pay.example/anew/{first.recharge_id}"
    assert await till.get_recharge(first.recharge_id) == repeated
    till.desk.refusal = payment_refusal("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
        await till.recharge(request_id="one")


async def test_a_repeat_of_one_that_nobody_is_to_pay_any_more_asks_no_channel(till: Till) -> None:
    recharges = {name: await till.recharge(request_id=name) for name in ("paid", "late", "expired")}
    await till.tell(till.paid(recharges["paid"], 5_000))
    await till.run_out(recharges["expired"])
    assert await till.expire_due() == 1
    await till.run_out(recharges["late"])
    till.desk.refusal = payment_refusal("PAYMENT_CLOSED", PRECONDITION)
    repeated = {name: await till.recharge(request_id=name) for name in recharges}
    assert [one.pay_url for one in repeated.values()] == [one.pay_url for one in recharges.values()]
    assert [one.status for one in repeated.values()] == [
        pb.RECHARGE_STATUS_PAID,
        pb.RECHARGE_STATUS_CREATED,
        pb.RECHARGE_STATUS_EXPIRED,
    ]


async def test_many_repeats_at_once_are_one_recharge(till: Till) -> None:
    recharges = await asyncio.gather(*(till.recharge(request_id="one") for _ in range(10)))
    assert len({recharge.recharge_id for recharge in recharges}) == 1
    assert len(till.desk.opened) == 1


@pytest.mark.parametrize("change", [{"amount": "51"}, {"channel": "other"}])
async def test_one_request_is_of_one_amount_and_channel(till: Till, change: dict[str, str]) -> None:
    await till.recharge(request_id="one")
    with refused("KEY_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        await till.recharge(**({"amount": "50", "request_id": "one"} | change))


async def test_users_name_their_requests_for_themselves(till: Till) -> None:
    first = await till.recharge(request_id="one")
    assert (await till.recharge("7", request_id="one", user_id=str(OTHER_USER))).recharge_id != first.recharge_id


@pytest.mark.parametrize("other", [{"user_id": OTHER_USER}, {"brand_id": OTHER_BRAND}])
async def test_another_users_recharge_is_not_found(till: Till, other: dict[str, int]) -> None:
    recharge = await till.recharge()
    with refused("RECHARGE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        await till.get_recharge(recharge.recharge_id, **other)


# The payment service.


async def test_while_the_channel_is_away_the_same_request_may_be_repeated(till: Till) -> None:
    till.desk.refusal = payment_refusal("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
        await till.recharge(request_id="one")
    till.desk.refusal = None
    assert (await till.recharge(request_id="one")).pay_url
    assert len(await till.running.rows(tables.recharge)) == 1


async def test_a_channel_that_is_away_is_asked_again_by_the_wallet_alone(till: Till) -> None:
    calls = 0

    async def refuse() -> None:
        nonlocal calls
        calls += 1
        raise payment_refusal("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)

    till.desk.before_answer = refuse
    with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
        await till.recharge()
    assert calls == 4


async def test_while_the_payment_service_is_away_too(tmp_path: Path) -> None:
    async with running(tmp_path, "wallet", peer_payment="127.0.0.1:1") as one, serving_desk() as (desk, _):
        till = Till(one, desk)
        with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
            await till.recharge()


async def test_a_channel_that_is_not_known_is_refused_by_its_field_and_nothing_is_left(till: Till) -> None:
    till.desk.refusal = payment_refusal("PAYMENT_CHANNEL_UNKNOWN", INVALID)
    with refused("INVALID_REQUEST", INVALID) as refusal:
        await till.recharge(request_id="one", channel="gold")
    assert [violation.field for violation in refusal.value.violations] == ["channel"]
    assert await till.running.rows(tables.recharge) == []
    till.desk.refusal = None
    assert (await till.recharge(request_id="one", channel="sandbox")).pay_url


async def test_a_payment_that_was_opened_is_credited_though_its_channel_is_gone_at_the_repeat(till: Till) -> None:
    async def lose_the_answer() -> None:
        raise payment_refusal("UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)

    till.desk.before_answer = lose_the_answer
    with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
        await till.recharge("50", request_id="one", channel="gold")
    till.desk.refusal = payment_refusal("PAYMENT_CHANNEL_UNKNOWN", INVALID)
    with refused("INVALID_REQUEST", INVALID):
        await till.recharge("50", request_id="one", channel="gold")
    (opened,) = till.desk.opened
    (result,) = await till.tell(till.paid(pb.Recharge(recharge_id=opened), 5_000))
    assert result.status == SUCCEEDED, result
    assert await till.balance() == "50.00"


async def test_a_channel_with_a_control_character_is_refused_by_its_field(till: Till) -> None:
    with refused("INVALID_REQUEST", INVALID) as refusal:
        await till.recharge(channel="gold\x00")
    assert [violation.field for violation in refusal.value.violations] == ["channel"]
    assert await till.running.rows(tables.recharge) == []


async def test_a_caller_that_goes_while_the_payment_opens_finds_it_by_a_repeat(till: Till) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go_on.wait()

    till.desk.before_answer = wait
    call = asyncio.create_task(till.recharge(request_id="one"))
    await reached.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    go_on.set()
    recharge = await till.recharge(request_id="one")
    assert list(till.desk.opened) == [recharge.recharge_id]


async def test_one_that_expires_while_its_payment_opens_is_refused_and_closed(till: Till) -> None:
    async def expire() -> None:
        await till.run_out(pb.Recharge(recharge_id=next(iter(till.desk.opened))))
        assert await till.expire_due() == 1

    till.desk.before_answer = expire
    with refused("RECHARGE_EXPIRED", PRECONDITION):
        await till.recharge()
    ((to, what, _, _),) = await till.written()
    assert (to, what) == ("payment", "payment.close_wanted")


async def test_one_whose_time_is_over_opens_no_payment_though_no_sweep_has_come(till: Till) -> None:
    till.desk.refusal = payment_refusal("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    with refused("PAYMENT_CHANNEL_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
        await till.recharge(request_id="one")
    (row,) = await till.running.rows(tables.recharge)
    await till.run_out(pb.Recharge(recharge_id=str(row["recharge_id"])))
    till.desk.refusal = None
    with refused("RECHARGE_EXPIRED", PRECONDITION):
        await till.recharge(request_id="one")
    assert till.desk.opened == {}


async def test_one_whose_payment_is_closed_is_expired_to_its_user(till: Till) -> None:
    till.desk.refusal = payment_refusal("PAYMENT_CLOSED", PRECONDITION)
    with refused("RECHARGE_EXPIRED", PRECONDITION):
        await till.recharge()


# Paid.


async def test_003_08_money_is_credited_once_however_often_it_is_told_of(till: Till) -> None:
    recharge = await till.recharge()
    same = till.paid(recharge, 5_000)
    results = [*await till.tell(same, same), *await till.tell(same, till.paid(recharge, 5_000))]
    assert {result.status for result in results} == {SUCCEEDED}
    (entry,) = (await till.logs()).money_logs
    assert (entry.money_log_type, entry.order_id) == (pb.MONEY_LOG_TYPE_RECHARGE, recharge.recharge_id)
    assert (entry.use_money, entry.user_money) == ("50.00", "50.00")
    paid = await till.get_recharge(recharge.recharge_id)
    assert paid.status == pb.RECHARGE_STATUS_PAID
    assert paid.pay_time.seconds > 0
    assert await till.written() == []


async def test_money_of_another_amount_is_given_up_and_nothing_is_credited(till: Till) -> None:
    recharge = await till.recharge()
    (result,) = await till.tell(till.paid(recharge, 4_999))
    assert result.status == FAILED
    assert await till.balance() == "0.00"


async def test_money_of_a_recharge_that_is_not_known_comes_again(till: Till) -> None:
    (result,) = await till.tell(till.paid(pb.Recharge(recharge_id="123"), 5_000))
    assert result.status == PROCESSING
    assert "RECHARGE_NOT_FOUND" in result.remark


async def test_a_repeat_after_the_money_came_says_so(till: Till) -> None:
    recharge = await till.recharge(request_id="one")
    await till.tell(till.paid(recharge, 5_000))
    assert (await till.recharge(request_id="one")).status == pb.RECHARGE_STATUS_PAID


async def test_money_in_time_counts_though_the_time_is_over_when_it_is_heard_of(till: Till) -> None:
    """The queue stood still for as long as the recharge lives, and no sweep came by."""
    recharge = await till.recharge()
    await till.run_out(recharge)
    await till.tell(till.paid(recharge, 5_000, paid_at_ms=ENDED_AT_MS - 1))
    assert await till.balance() == "50.00"


# Expired.


async def test_003_08_after_its_time_a_recharge_expires_and_its_payment_is_closed(till: Till) -> None:
    overdue, fresh = await till.recharge(), await till.recharge()
    await till.run_out(overdue)
    assert [await till.expire_due(), await till.expire_due()] == [1, 0]
    assert (await till.get_recharge(overdue.recharge_id)).status == pb.RECHARGE_STATUS_EXPIRED
    assert (await till.get_recharge(fresh.recharge_id)).status == pb.RECHARGE_STATUS_CREATED
    assert await till.written() == [
        ("payment", "payment.close_wanted", overdue.recharge_id, {"business": "wallet"}),
    ]


async def test_003_08_none_expires_while_nobody_says_that_it_is_unpaid(till: Till) -> None:
    overdue = await till.recharge()
    await till.run_out(overdue)
    till.desk.refusal = payment_refusal("UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    with refused("UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
        await till.expire_due()
    assert (await till.get_recharge(overdue.recharge_id)).status == pb.RECHARGE_STATUS_CREATED
    assert await till.written() == []
    till.desk.refusal = None
    assert await till.expire_due() == 1


async def test_a_pass_of_expiry_is_bounded(till: Till) -> None:
    recharges = [await till.recharge() for _ in range(5)]
    await till.run_out(*recharges)
    assert [await till.expire_due(2) for _ in range(4)] == [2, 2, 1, 0]


async def test_two_sweeps_at_once_close_each_payment_once(till: Till) -> None:
    recharges = [await till.recharge() for _ in range(5)]
    await till.run_out(*recharges)
    assert sum(await asyncio.gather(*(till.expire_due() for _ in range(4)))) == 5
    assert len(await till.written()) == 5


async def test_003_08_late_payment_is_paid_back_and_brings_no_coins(till: Till) -> None:
    recharge = await till.recharge()
    await till.run_out(recharge)
    await till.expire_due()
    same = till.paid(recharge, 5_000, recharge.expire_time.ToMilliseconds() + 1)
    assert {result.status for result in [*await till.tell(same), *await till.tell(same)]} == {SUCCEEDED}
    assert await till.balance() == "0.00"
    wish = {
        "business": "wallet",
        "request_id": f"recharge/{recharge.recharge_id}",
        "amount_fen": 5_000,
        "remark": "paid after the time of the recharge was over",
    }
    assert (await till.written())[1:] == [("payment", "payment.refund_wanted", recharge.recharge_id, wish)]
    (result,) = await till.tell(
        till.message("payment", "refunded", recharge.recharge_id, refund_id="1", amount_fen=5_000)
    )
    assert result.status == SUCCEEDED


async def test_003_08_late_money_that_is_faster_than_the_sweep_is_paid_back_too(till: Till) -> None:
    recharge = await till.recharge()
    await till.tell(till.paid(recharge, 5_000, recharge.expire_time.ToMilliseconds()))
    assert (await till.get_recharge(recharge.recharge_id)).status == pb.RECHARGE_STATUS_EXPIRED
    assert await till.balance() == "0.00"
    assert [what for _, what, _, _ in await till.written()] == ["payment.refund_wanted"]
    await till.run_out(recharge)
    assert await till.expire_due() == 0


async def test_two_words_of_late_money_ask_for_one_refund(till: Till) -> None:
    recharge = await till.recharge()
    late_ms = recharge.expire_time.ToMilliseconds()
    await till.tell(till.paid(recharge, 5_000, late_ms), till.paid(recharge, 5_000, late_ms))
    await till.tell(till.paid(recharge, 5_000, late_ms))
    ids = {body["request_id"] for _, _, _, body in await till.written()}
    assert ids == {f"recharge/{recharge.recharge_id}"}


async def test_003_08_money_and_the_sweep_at_once_have_one_winner(till: Till) -> None:
    recharges = [await till.recharge("1") for _ in range(10)]
    await till.run_out(*recharges)
    moneys = [till.tell(till.paid(one, 100, paid_at_ms=ENDED_AT_MS - 1)) for one in recharges]
    await asyncio.gather(*moneys, *(till.expire_due(3) for _ in range(6)))
    await till.expire_due()
    states = [(await till.get_recharge(one.recharge_id)).status for one in recharges]
    paid_back = {key for _, what, key, _ in await till.written() if what == "payment.refund_wanted"}
    paid_count = states.count(pb.RECHARGE_STATUS_PAID)
    assert paid_count + len(paid_back) == 10
    assert await till.balance() == f"{paid_count}.00"


async def test_order_rmq_has_recharges_expired(till: Till) -> None:
    recharge = await till.recharge()
    await till.run_out(recharge)

    async def is_expired() -> bool:
        return (await till.get_recharge(recharge.recharge_id)).status == pb.RECHARGE_STATUS_EXPIRED

    async with till.running.consuming():
        await eventually(is_expired)
