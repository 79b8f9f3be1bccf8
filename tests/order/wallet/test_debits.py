"""Coins that orders take, one order or many at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from brandmesh.wallet.v1 import wallet_pb2 as pb
from mesh.batch import unpack
from mesh.errors import DomainError
from order_rpc.wallet import tables
from tests.order.running import running
from tests.order.sms_package.refusals import refused
from tests.order.wallet.harness import (
    OTHER_BRAND,
    OTHER_USER,
    SUCCEEDED,
    USER,
    Till,
    debit_request,
    serving_desk,
)

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


async def test_002_07_a_debit_is_one_log_of_type_1_with_the_balance_after_it(till: Till) -> None:
    await till.fund(10_000)
    assert await till.debit(11, 2_550) == 7_450
    entry, _ = (await till.logs()).money_logs
    assert (entry.seq, entry.money_log_type, entry.order_id) == (2, pb.MONEY_LOG_TYPE_PAY, "11")
    assert (entry.use_money, entry.user_money) == ("-25.50", "74.50")
    assert entry.create_time.seconds > 0
    assert (await till.wallet()).seq == 2


async def test_all_there_is_can_be_taken(till: Till) -> None:
    await till.fund(10_000)
    assert await till.debit(11, 10_000) == 0


async def test_a_repeat_answers_what_was_left_then_and_takes_nothing(till: Till) -> None:
    await till.fund(10_000)
    assert await till.debit(11, 4_000) == 6_000
    assert await till.debit(12, 1_000) == 5_000
    assert await till.debit(11, 4_000) == 6_000
    assert await till.balance() == "50.00"


async def test_003_07_coins_short_is_said_with_figures_and_nothing_is_written(till: Till) -> None:
    await till.fund(500)
    before = await tables_of(till)
    with refused("WALLET_SHORT", PRECONDITION) as refusal:
        await till.debit(11, 501)
    assert refusal.value.metadata == {"available_fen": "500", "required_fen": "501"}
    assert await tables_of(till) == before


async def test_a_user_without_a_wallet_is_short_and_gets_none(till: Till) -> None:
    with refused("WALLET_SHORT", PRECONDITION) as refusal:
        await till.debit(11, 1)
    assert refusal.value.metadata["available_fen"] == "0"
    assert await till.running.rows(tables.account) == []


async def test_003_07_an_order_that_was_short_may_be_tried_again_after_a_recharge(till: Till) -> None:
    with refused("WALLET_SHORT", PRECONDITION):
        await till.debit(11, 500)
    await till.fund(500)
    assert await till.debit(11, 500) == 0


@pytest.mark.parametrize("change", [{"amount_fen": 401}, {"user_id": OTHER_USER}, {"brand_id": OTHER_BRAND}])
async def test_an_order_takes_one_thing_alone(till: Till, change: dict[str, int]) -> None:
    for user_id in (USER, OTHER_USER):
        await till.fund(1_000, user_id=user_id)
    await till.debit(11, 400)
    with refused("KEY_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        await till.debit(11, **({"amount_fen": 400} | change))
    assert await till.balance() == "6.00"


async def test_wallets_of_one_user_at_two_brands_are_two(till: Till) -> None:
    await till.fund(1_000)
    await till.fund(300, brand_id=OTHER_BRAND)
    assert await till.debit(11, 200, brand_id=OTHER_BRAND) == 100
    assert await till.balance() == "10.00"


@pytest.mark.parametrize("field", ["amount_fen", "order_id", "user_id", "brand_id"])
async def test_002_06_what_is_not_above_0_is_refused_by_its_field(till: Till, field: str) -> None:
    await till.fund(1_000)
    before = await tables_of(till)
    for value in (0, -1):
        request = debit_request(11, 1)
        setattr(request, field, value)
        with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
            await till.call(till.wallets.DebitWallet, request)
        assert [violation.field for violation in refusal.value.violations] == [field]
    assert await tables_of(till) == before


async def test_002_06_concurrent_debits_never_go_below_0(till: Till) -> None:
    await till.fund(1_000)
    answers = await asyncio.gather(*(till.debit(order_id, 100) for order_id in range(1, 31)), return_exceptions=True)
    refusals = [one.reason for one in answers if isinstance(one, DomainError)]
    assert refusals == ["WALLET_SHORT"] * 20
    assert sorted(one for one in answers if isinstance(one, int)) == list(range(0, 1_000, 100))
    assert await till.balance() == "0.00"


async def test_one_order_asked_for_by_many_at_once_takes_once(till: Till) -> None:
    await till.fund(1_000)
    assert await asyncio.gather(*(till.debit(11, 100) for _ in range(20))) == [900] * 20
    assert await till.balance() == "9.00"


async def test_two_processes_on_one_database_take_what_is_there_and_no_more(tmp_path: Path) -> None:
    async with serving_desk() as (desk, address), running(tmp_path, "wallet", peer_payment=address) as first:
        url = first.settings.database_url
        async with running(tmp_path, "wallet", peer_payment=address, database_url=url) as second:
            tills = [Till(first, desk), Till(second, desk)]
            await tills[0].fund(1_000)
            # Each order comes to both.
            debits = [one.debit(order_id, 100) for order_id in range(1, 21) for one in tills]
            answers = await asyncio.gather(*debits, return_exceptions=True)
            assert {one.reason for one in answers if isinstance(one, DomainError)} == {"WALLET_SHORT"}
            assert len(await first.rows(tables.debit)) == 10
            assert await tills[1].balance() == "0.00"
            await tills[0].is_sound()


async def test_one_order_for_the_last_coins_is_refused_by_neither_process(tmp_path: Path) -> None:
    async with serving_desk() as (desk, address), running(tmp_path, "wallet", peer_payment=address) as first:
        url = first.settings.database_url
        async with running(tmp_path, "wallet", peer_payment=address, database_url=url) as second:
            tills = [Till(first, desk), Till(second, desk)]
            for order_id in range(1, 21):
                await tills[0].fund(100)
                assert await asyncio.gather(*(one.debit(order_id, 100) for one in tills * 2)) == [0] * 4
            await tills[0].is_sound()


async def test_cancelled_and_asked_for_at_once_by_two_processes_nothing_stays_taken(tmp_path: Path) -> None:
    async with serving_desk() as (desk, address), running(tmp_path, "wallet", peer_payment=address) as first:
        url = first.settings.database_url
        async with running(tmp_path, "wallet", peer_payment=address, database_url=url) as second:
            one, other = Till(first, desk), Till(second, desk)
            await one.fund(1_000)
            order_ids = range(1, 21)
            debits = [one.debit(order_id, 50) for order_id in order_ids]
            messages = [one.cancelled(order_id) for order_id in order_ids]
            releases = [other.tell(message) for message in messages]
            mixed = [pair for both in zip(debits, releases, strict=True) for pair in both]
            answers = await asyncio.gather(*mixed, return_exceptions=True)
            assert {answer.reason for answer in answers if isinstance(answer, DomainError)} <= {"DEBIT_RELEASED"}
            assert [result.status for result in await other.tell(*messages)] == [SUCCEEDED] * 20
            assert await one.balance() == "10.00"
            assert {row["state"] for row in await first.rows(tables.debit)} == {"RELEASED"}
            await one.is_sound()


async def test_a_caller_that_goes_leaves_a_batch_whole(till: Till) -> None:
    await till.fund(1_000)
    calls = [asyncio.create_task(till.debit(order_id, 10)) for order_id in range(1, 41)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    # Whatever became of the calls that nobody waited for, their repeats settle it.
    for order_id in range(1, 41):
        await till.debit(order_id, 10)
    assert await till.balance() == "6.00"


# Batches.


async def test_each_debit_of_a_batch_stands_by_itself_in_order(till: Till) -> None:
    await till.fund(500)
    await till.tell(till.cancelled(13))
    results = await till.debit_many(
        debit_request(11, 300),
        debit_request(12, 0),
        debit_request(13, 10),
        debit_request(14, 300),
        debit_request(11, 300),
        debit_request(15, 200),
    )
    told = [one.reason if isinstance(one, DomainError) else one.balance_fen for one in unpack(results)]
    assert told == [200, "INVALID_REQUEST", "DEBIT_RELEASED", "WALLET_SHORT", 200, 0]


async def test_a_batch_of_many_users(till: Till) -> None:
    users = range(100, 200)
    sales = [till.received(7_000 + user_id, 1_000, user_id) for user_id in users]
    assert {result.status for result in await till.tell(*sales)} == {SUCCEEDED}
    results = await till.debit_many(*(debit_request(user_id, 400, user_id=user_id) for user_id in users))
    assert [one.response.balance_fen for one in results] == [600] * 100


async def test_a_batch_is_bounded(till: Till) -> None:
    requests = [debit_request(order_id, 1) for order_id in range(1, 1_002)]
    with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT):
        await till.debit_many(*requests)


# What is shown.


async def test_a_user_who_never_had_coins_has_an_empty_wallet(till: Till) -> None:
    wallet = await till.wallet(OTHER_USER)
    assert (wallet.user_id, wallet.user_money, wallet.seq) == (str(OTHER_USER), "0.00", 0)
    assert not (await till.logs(OTHER_USER)).money_logs


async def test_logs_come_newest_first_page_by_page(till: Till) -> None:
    await till.fund(1_000)
    for order_id in range(1, 5):
        await till.debit(order_id, 10)
    page = await till.logs(page_size=3)
    assert [log.seq for log in page.money_logs] == [5, 4, 3]
    rest = await till.logs(page_size=3, page_token=page.next_page_token)
    assert ([log.seq for log in rest.money_logs], rest.next_page_token) == ([2, 1], "")
    with refused("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT):
        await till.logs(page_token="nonsense")


async def test_the_database_itself_refuses_a_balance_below_zero(till: Till) -> None:
    await till.fund(10)
    # MariaDB's driver tells of a broken CHECK as of a database that is busy.
    with pytest.raises((sa.exc.DBAPIError, DomainError)):
        await till.running.execute(sa.update(tables.account).values(user_money_fen=-1))
    assert await till.balance() == "0.10"


async def tables_of(till: Till) -> list[object]:
    return [await till.running.rows(table) for table in (tables.account, tables.money_log, tables.debit)]
