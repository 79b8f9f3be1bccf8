"""Checklist 003, lines 6 and 7: stock, coins and order, one message after the other."""

from __future__ import annotations

import asyncio

import pytest

from order_rpc.flash_sale import tables
from order_rpc.order import tables as order_tables
from order_rpc.wallet import tables as wallet_tables
from tests.order.flash_sale.harness import (
    BRAND,
    BUYER,
    COINS_SHORT,
    FAILED,
    IN_PROGRESS,
    SOLD,
    SUCCEEDED,
    TIMED_OUT,
    Market,
    got,
    reasons,
)


async def test_003_06_stock_then_coins_then_order(market: Market) -> None:
    sale = await market.publish()
    attempt = await market.buy(sale)
    (taken,) = await market.written("stock_taken")
    row = (await market.running.rows(tables.attempt))[0]
    assert taken == {
        "to": "wallet", "key": str(row["order_id"]), "brand_id": BRAND, "user_id": BUYER, "amount_fen": 990,
    }  # fmt: skip
    assert await market.written("sold") == []
    await market.answer("debited", attempt)
    (sold,) = await market.written("sold")
    assert sold == {
        "to": "order", "key": taken["key"], "brand_id": BRAND, "user_id": BUYER, "seller_id": 1, "goods_name": "水饺",
        "seller_email": "seller@example.com", "price_fen": 990, "address": "", "consignee": "",
    }  # fmt: skip
    assert (await market.attempt(attempt)).order_id == taken["key"]


async def test_003_06_each_message_twice_changes_nothing(market: Market) -> None:
    await market.fund(1000, BUYER)
    attempt = await market.buy(await market.publish(per_user_limit=2))
    async with market.running.consuming():
        assert (await market.ended(attempt)).status == SOLD
        await market.order(attempt)
    body = (await market.written("stock_taken"))[0]
    key = body.pop("key")
    sold = (await market.written("sold"))[0]
    for _ in range(2):
        # As new messages, so that not even their names are known.
        results = [
            *await market.tell("wallet", market.message("flash_sale", "stock_taken", key, **body)),
            *await market.answer("debited", attempt),
            *await market.tell("order", market.message("flash_sale", "sold", **sold)),
        ]
        assert {one.status for one in results} == {SUCCEEDED}
    assert await market.balance_fen() == 10
    assert len(await market.running.rows(order_tables.orders)) == 1
    assert len(await market.written("sold")) == 1
    assert (await market.attempt(attempt)).status == SOLD


async def test_003_06_a_message_that_is_redelivered_after_its_commit_has_no_effect(market: Market) -> None:
    sale = await market.publish()
    attempt = await market.buy(sale)
    row = (await market.running.rows(tables.attempt))[0]
    message = market.message("wallet", "debit_refused", row["order_id"])
    for _ in range(3):
        assert [one.status for one in await market.tell("flash_sale", message)] == [SUCCEEDED]
    assert (await market.attempt(attempt)).status == COINS_SHORT
    await market.until_left(sale, 10)
    (consumed,) = await market.running.rows(tables.consumed_message)
    assert consumed["consumer_times"] == 1


async def test_003_06_a_consumer_that_is_killed_at_any_moment_loses_nothing(market: Market) -> None:
    sale = await market.publish(goods_number=30)
    users = range(1000, 1030)
    await market.fund(990, *users)
    attempts = got(await market.buy_many([market.request(sale, user_id) for user_id in users]))
    for pause in (0.05, 0.1, 0.2):
        async with market.running.consuming() as consumer:
            await asyncio.sleep(pause)
            consumer.cancel()
        market.skip_visibility()
    async with market.running.consuming():
        ended = [await market.ended(one) for one in attempts]
    assert {one.status for one in ended} == {SOLD}
    assert [await market.balance_fen(user_id) for user_id in users] == [0] * 30


async def test_003_07_without_the_bus_the_order_is_not_lost(market: Market) -> None:
    await market.fund(990, BUYER)
    market.running.bus.is_away = True
    sale = await market.publish()
    attempt = await market.buy(sale)
    assert attempt.status == IN_PROGRESS
    market.running.bus.is_away = False
    async with market.running.consuming():
        assert (await market.ended(attempt)).status == SOLD
    await market.until_left(sale, 9)


async def test_003_07_coins_short_gives_back_the_stock_and_the_user_can_retry(market: Market) -> None:
    sale = await market.publish(goods_number=1)
    attempt = await market.buy(sale)
    assert reasons([await market.try_to_buy(sale)]) == {"FLASH_SALE_LIMIT_REACHED"}
    async with market.running.consuming():
        assert (await market.ended(attempt)).status == COINS_SHORT
        await market.until_left(sale, 1)
        await market.fund(990, BUYER)
        again = await market.buy(sale)
        assert (await market.ended(again)).status == SOLD
    await market.until_left(sale, 0)
    assert await market.balance_fen() == 0


async def test_a_repeat_of_what_came_to_nothing_answers_that(market: Market) -> None:
    sale = await market.publish(goods_number=1)
    attempt = await market.buy(sale, request_id="one")
    await market.answer("debit_refused", attempt)
    await market.buy(sale, BUYER + 1)
    assert (await market.buy(sale, request_id="one")).status == COINS_SHORT


async def test_003_07_without_stock_coins_stay_untouched(market: Market) -> None:
    await market.fund(5000, BUYER, BUYER + 1)
    sale = await market.publish(goods_number=1)
    attempt = await market.buy(sale)
    assert reasons([await market.try_to_buy(sale, BUYER + 1)]) == {"FLASH_SALE_SOLD_OUT"}
    async with market.running.consuming():
        await market.ended(attempt)
    assert [await market.balance_fen(user_id) for user_id in (BUYER, BUYER + 1)] == [4010, 5000]


async def test_003_07_a_rollback_before_the_debit_voids_the_debit(market: Market) -> None:
    await market.fund(5000, BUYER)
    sale = await market.publish()
    attempt = await market.buy(sale)
    await market.run_out(attempt)
    assert await market.cancel_overdue() == 1
    assert await market.cancel_overdue() == 0
    assert (await market.attempt(attempt)).status == TIMED_OUT
    await market.until_left(sale, 10)
    taken, cancelled = (await market.written("stock_taken"))[0], (await market.written("cancelled"))[0]
    # The rollback is faster than the debit.
    await market.tell("wallet", market.message("flash_sale", "cancelled", cancelled["key"]))
    key = taken.pop("key")
    await market.tell("wallet", market.message("flash_sale", "stock_taken", key, **taken))
    assert await market.balance_fen() == 5000
    (reply,) = await market.running.rows(wallet_tables.produced_message)
    assert (reply["msg_tag"], reply["msg_key"]) == ("debit_refused", key)
    await market.answer("debit_refused", attempt)
    assert (await market.attempt(attempt)).status == TIMED_OUT
    await market.until_left(sale, 10)


async def test_003_07_a_rollback_after_the_debit_gives_the_coins_back_once(market: Market) -> None:
    await market.fund(5000, BUYER)
    sale = await market.publish()
    attempt = await market.buy(sale)
    taken = (await market.written("stock_taken"))[0]
    key = taken.pop("key")
    await market.tell("wallet", market.message("flash_sale", "stock_taken", key, **taken))
    assert await market.balance_fen() == 4010
    await market.run_out(attempt)
    await market.cancel_overdue()
    for _ in range(2):
        await market.tell("wallet", market.message("flash_sale", "cancelled", key))
    assert await market.balance_fen() == 5000
    # The wallet's answer comes too late.
    assert [one.status for one in await market.answer("debited", attempt)] == [SUCCEEDED]
    assert (await market.attempt(attempt)).status == TIMED_OUT
    assert await market.written("sold") == []
    await market.until_left(sale, 10)


async def test_an_attempt_that_was_answered_in_time_is_not_given_up(market: Market) -> None:
    attempt = await market.buy(await market.publish())
    await market.answer("debited", attempt)
    await market.run_out(attempt)
    assert await market.cancel_overdue() == 0
    assert (await market.attempt(attempt)).status == SOLD


@pytest.mark.parametrize(("first", "second"), [("debited", "debit_refused"), ("debit_refused", "debited")])
async def test_an_answer_that_contradicts_the_one_before_stops(market: Market, first: str, second: str) -> None:
    sale = await market.publish()
    attempt = await market.buy(sale)
    await market.answer(first, attempt)
    before = await market.attempt(attempt)
    assert [one.status for one in await market.answer(second, attempt)] == [FAILED]
    assert await market.attempt(attempt) == before


async def test_003_09_an_answer_that_cannot_be_read_stops_alone(market: Market) -> None:
    attempt = await market.buy(await market.publish())
    row = (await market.running.rows(tables.attempt))[0]
    results = await market.tell(
        "flash_sale",
        market.message("wallet", "debited", "no-order"),
        market.message("wallet", "debited", 5),
        market.message("wallet", "debited", row["order_id"]),
    )
    assert [one.status for one in results] == [FAILED, FAILED, SUCCEEDED]
    assert "no attempt has order 5" in results[1].remark
    assert (await market.attempt(attempt)).status == SOLD
