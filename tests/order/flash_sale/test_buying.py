"""Checklist 003, lines 2 to 5: who gets something, and who does not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from mesh.errors import DomainError
from order_rpc.flash_sale import tables
from order_rpc.flash_sale.admission import keys_of
from tests.order.flash_sale.harness import (
    BRAND,
    BUYER,
    COINS_SHORT,
    HOUR_MS,
    IN_PROGRESS,
    OTHER_BRAND,
    SOLD,
    Market,
    all_at_once,
    got,
    now_ms,
    open_market,
    reasons,
)


async def test_003_02_before_the_start_and_after_the_end_nothing_is_taken(market: Market) -> None:
    sale = await market.publish(start_ms=now_ms() + HOUR_MS, end_ms=now_ms() + 2 * HOUR_MS)
    with pytest.raises(DomainError, match="FLASH_SALE_NOT_STARTED"):
        await market.buy(sale)
    assert await market.left(sale) == (10, 10)
    await market.set_sale(sale, start_time_ms=1, end_time_ms=now_ms() - 1)
    with pytest.raises(DomainError, match="FLASH_SALE_ENDED"):
        await market.buy(sale)
    assert await market.left(sale) == (10, 10)
    assert await market.running.rows(tables.attempt) == []


async def test_003_02_who_was_early_can_buy_later_with_the_same_request(market: Market) -> None:
    sale = await market.publish(start_ms=now_ms() + HOUR_MS, end_ms=now_ms() + 2 * HOUR_MS)
    with pytest.raises(DomainError, match="FLASH_SALE_NOT_STARTED"):
        await market.buy(sale, request_id="eager")
    # As if the hour were over.
    await market.running.execute(tables.flash_sale.update().values(start_time_ms=1))
    await market.redis.hset(keys_of(int(sale.flash_sale_id))[0], "start", "1")
    assert (await market.buy(sale, request_id="eager")).status == IN_PROGRESS


async def test_003_02_the_rows_decide_where_redis_is_wrong_about_the_time(market: Market) -> None:
    sale = await market.publish(start_ms=now_ms() + HOUR_MS, end_ms=now_ms() + 2 * HOUR_MS)
    assert "FLASH_SALE_NOT_STARTED" in reasons([await market.try_to_buy(sale)])
    await market.redis.hset(keys_of(int(sale.flash_sale_id))[0], "start", "1")
    assert "FLASH_SALE_NOT_STARTED" in reasons([await market.try_to_buy(sale)])
    assert await market.left(sale) == (10, 10)


async def test_an_unknown_sale_or_another_brands_is_not_found(market: Market) -> None:
    sale = await market.publish()
    unknown = pb.FlashSale(flash_sale_id="12345")
    request = market.request(sale)
    request.brand_id = OTHER_BRAND
    answers = await market.buy_many([market.request(unknown), request, market.request(sale), request])
    assert [type(one) for one in answers] == [DomainError, DomainError, pb.Attempt, DomainError]
    assert reasons(answers) == {"FLASH_SALE_NOT_FOUND"}
    assert await market.left(sale) == (9, 9)


async def test_003_03_accepted_at_once_in_progress_then_sold(market: Market) -> None:
    sale = await market.publish()
    await market.fund(990, BUYER)
    attempt = await market.buy(sale)
    assert (attempt.status, attempt.order_id, attempt.price) == (IN_PROGRESS, "", "9.90")
    assert await market.attempt(attempt) == attempt
    async with market.running.consuming():
        sold = await market.ended(attempt)
        order = await market.order(sold)
    assert sold.status == SOLD
    assert (order.order_id, order.user_id, order.money_paid, order.seller_id) == (sold.order_id, "11", "9.90", "1")
    assert await market.balance_fen() == 0


async def test_003_03_or_sold_out(market: Market) -> None:
    sale = await market.publish(goods_number=1)
    await market.buy(sale)
    with pytest.raises(DomainError, match="FLASH_SALE_SOLD_OUT"):
        await market.buy(sale, BUYER + 1)
    assert await market.left(sale) == (0, 0)


async def test_003_03_the_answer_stays_when_redis_has_forgotten_it(market: Market) -> None:
    sale = await market.publish(goods_number=1)
    attempt = await market.buy(sale, request_id="one")
    await market.answer("debited", attempt)
    await market.lose_redis()
    found = await market.attempt(attempt)
    assert found.status == SOLD
    assert await market.buy(sale, request_id="one") == found
    with pytest.raises(DomainError, match="FLASH_SALE_SOLD_OUT"):
        await market.buy(sale, BUYER + 1)
    request = pb.ListAttemptsRequest(brand_id=BRAND, user_id="11", flash_sale_id=sale.flash_sale_id)
    assert list((await market.call(market.sales.ListAttempts, request)).attempts) == [found]


async def test_003_03_another_users_attempt_is_not_found(market: Market) -> None:
    attempt = await market.buy(await market.publish())
    for field, value in {"user_id": "12", "flash_sale_id": "5", "brand_id": OTHER_BRAND}.items():
        names = {"brand_id": BRAND, "user_id": "11", "flash_sale_id": attempt.flash_sale_id} | {field: value}
        request = pb.GetAttemptRequest(attempt_id=attempt.attempt_id, **names)  # type: ignore[arg-type]  # its fields
        with pytest.raises(DomainError, match="ATTEMPT_NOT_FOUND"):
            await market.call(market.sales.GetAttempt, request)


async def test_003_04_a_hundred_parallel_requests_of_one_user_are_one_order(market: Market) -> None:
    sale = await market.publish(goods_number=200)
    answers = await all_at_once(market, sale, [BUYER] * 100)
    assert len(got(answers)) == 1
    assert reasons(answers) == {"FLASH_SALE_LIMIT_REACHED"}
    assert await market.left(sale) == (199, 199)
    assert len(await market.running.rows(tables.attempt)) == 1


async def test_003_04_a_user_gets_as_many_as_the_limit(market: Market) -> None:
    sale = await market.publish(per_user_limit=3)
    answers = await market.buy_many([market.request(sale) for _ in range(10)])
    assert [type(one) for one in answers] == [pb.Attempt] * 3 + [DomainError] * 7
    assert await market.left(sale) == (7, 7)


async def test_003_04_the_same_request_is_one_attempt_however_often_it_comes(market: Market) -> None:
    sale = await market.publish(per_user_limit=5)
    requests = [market.request(sale, request_id="one")] * 10
    answers = await asyncio.gather(market.buy_many(requests), market.buy_many(requests), market.buy_many(requests))
    attempts = [attempt for some in answers for attempt in some]
    assert len(got(attempts)) == 30
    assert len({one.attempt_id for one in got(attempts)}) == 1
    assert await market.left(sale) == (9, 9)


async def test_003_04_a_repeat_is_answered_when_all_is_sold(market: Market) -> None:
    sale = await market.publish(goods_number=1)
    attempt = await market.buy(sale, request_id="one")
    assert "FLASH_SALE_SOLD_OUT" in reasons([await market.try_to_buy(sale, BUYER + 1)])
    assert await market.buy(sale, request_id="one") == attempt


async def test_a_request_with_another_body_is_refused(market: Market) -> None:
    sale = await market.publish()
    await market.buy(sale, request_id="one")
    request = market.request(sale, request_id="one")
    request.address = "elsewhere"
    with pytest.raises(DomainError, match="KEY_REUSED"):
        await market.call(market.sales.BuyFlashSale, request)
    assert await market.left(sale) == (9, 9)


async def test_003_05_ten_times_as_many_users_as_there_is_stock(market: Market) -> None:
    sale = await market.publish(goods_number=50)
    single = all_at_once(market, sale, range(1000, 1200))
    batches = [
        market.buy_many([market.request(sale, user_id) for user_id in range(first, first + 100)])
        for first in range(2000, 2300, 100)
    ]
    answers = [one for some in await asyncio.gather(single, *batches) for one in some]
    assert len(got(answers)) == 50
    assert reasons(answers) == {"FLASH_SALE_SOLD_OUT"}
    assert await market.left(sale) == (0, 0)
    rows = await market.running.rows(tables.attempt)
    assert len({row["user_id"] for row in rows}) == len({row["order_id"] for row in rows}) == 50


async def test_003_05_several_processes_sell_no_more_than_there_is(market: Market, tmp_path: Path) -> None:
    sale = await market.publish(goods_number=50)
    settings = market.running.settings
    async with open_market(
        tmp_path, settings.redis_url, database_url=settings.database_url, services=("flash_sale",),
        peer_order=settings.listen,
    ) as other:  # fmt: skip
        answers = [
            one
            for some in await asyncio.gather(
                *(
                    one.buy_many([one.request(sale, user_id, f"{first}") for user_id in range(first, first + 50)])
                    for first in range(1000, 1500, 50)
                    for one in (market, other)
                )
            )
            for one in some
        ]
    taken = {one.attempt_id for one in got(answers)}
    assert len(taken) == 50
    assert reasons(answers) <= {"FLASH_SALE_SOLD_OUT", "REQUEST_UNDER_WAY"}
    assert await market.left(sale) == (0, 0)


async def test_what_costs_nothing_is_sold_at_once(market: Market) -> None:
    attempt = await market.buy(await market.publish(price="0"))
    assert attempt.status == SOLD
    assert await market.written("stock_taken") == []
    (told,) = await market.written("sold")
    assert (told["to"], told["key"], told["price_fen"]) == ("order", attempt.order_id, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", "x"),
        ("user_id", "000"),
        ("flash_sale_id", ""),
        ("request_id", " "),
        ("request_id", "one\n"),
        ("address", "\x00"),
        ("consignee", "two\r\nlines"),
    ],
)
async def test_a_bad_item_of_a_batch_fails_alone(market: Market, field: str, value: str) -> None:
    sale = await market.publish()
    bad = market.request(sale)
    setattr(bad, field, value)
    answers = await market.buy_many([bad, market.request(sale)])
    assert isinstance(answers[0], DomainError)
    assert [one.field for one in answers[0].violations] == [field]
    assert isinstance(answers[1], pb.Attempt)


@pytest.mark.parametrize(("failed_number", "is_refused"), [(99, False), (100, True)])
async def test_who_never_pays_does_not_go_on_for_ever(market: Market, failed_number: int, is_refused: bool) -> None:
    """Each attempt holds stock until its coins are short, and is read with each further one of its user."""
    sale = await market.publish()
    await market.buy(sale)
    (row,) = await market.running.rows(tables.attempt)
    await market.running.execute(tables.attempt.delete())
    failed = [
        row | {"attempt_id": -number, "order_id": -number, "request_id": f"{number}", "status": int(COINS_SHORT)}
        for number in range(1, failed_number + 1)
    ]
    await market.running.execute(tables.attempt.insert().values(failed))
    await market.set_sale(sale, left_number=10)
    answer = await market.try_to_buy(sale)
    assert reasons([answer]) == ({"FLASH_SALE_LIMIT_REACHED"} if is_refused else set())
    assert await market.left(sale) == ((10, 10) if is_refused else (9, 9))
    assert got([await market.try_to_buy(sale, BUYER + 1)])
