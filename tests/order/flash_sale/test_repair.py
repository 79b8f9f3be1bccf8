"""Checklist 003, lines 7 and 9: Redis is lost, away or wrong, processes end between two steps, and all agrees again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from chaos.tcp_proxy import Cut, TcpProxy
from mesh.database import Database
from mesh.errors import DomainError
from order_rpc.flash_sale import tables
from order_rpc.flash_sale.admission import Admission, Verdict, keys_of
from order_rpc.flash_sale.loading import Loading
from order_rpc.flash_sale.repair import Repair
from order_rpc.order import tables as order_tables
from tests.order.flash_sale.harness import (
    BRAND,
    BUYER,
    COINS_SHORT,
    IN_PROGRESS,
    SOLD,
    Market,
    all_at_once,
    got,
    open_market,
    reasons,
)
from tests.redis_server import start_redis


async def test_what_redis_lost_is_read_from_the_rows(market: Market) -> None:
    sale = await market.publish(goods_number=3)
    await market.buy(sale)
    attempt = await market.buy(sale, BUYER + 1)
    await market.answer("debited", attempt)
    await market.lose_redis()
    answers = await all_at_once(market, sale, range(BUYER, BUYER + 10))
    assert len(got(answers)) == 1
    assert reasons(answers) == {"FLASH_SALE_SOLD_OUT", "FLASH_SALE_LIMIT_REACHED"}
    assert await market.left(sale) == (0, 0)


async def test_003_07_redis_that_is_lost_while_many_buy_sells_no_more_than_there_is(market: Market) -> None:
    sale = await market.publish(goods_number=40)

    async def lose() -> None:
        for _ in range(10):
            await market.lose_redis()
            await asyncio.sleep(0.01)

    answers, _ = await asyncio.gather(all_at_once(market, sale, [*range(1000, 1100), *range(1000, 1100)]), lose())
    answers += await all_at_once(market, sale, range(1000, 1100))
    assert len({one.attempt_id for one in got(answers)}) == 40
    rows = await market.running.rows(tables.attempt)
    assert len({row["user_id"] for row in rows}) == len(rows) == 40
    await market.repair()
    assert await market.left(sale) == (0, 0)


async def test_003_07_what_a_process_admitted_and_never_wrote_is_given_back(market: Market) -> None:
    sale = await market.publish(goods_number=2)
    kept = await market.buy(sale)
    sale_id = int(sale.flash_sale_id)
    admission = Admission(market.redis)
    # A process that ended between the two.
    assert await admission.admit(BRAND, sale_id, [(BUYER + 1, "lost")]) == [Verdict.ADMITTED]
    assert reasons([await market.try_to_buy(sale, BUYER + 2)]) == {"FLASH_SALE_SOLD_OUT"}
    assert reasons([await market.try_to_buy(sale, BUYER + 1, "lost")]) == {"REQUEST_UNDER_WAY"}
    assert await market.left(sale) == (0, 1)
    assert await market.repair() == 0  # it may still be under way
    assert await _repair_at_once(market) == 1
    assert await market.left(sale) == (1, 1)
    assert (await market.buy(sale, BUYER + 1, "lost")).status == IN_PROGRESS
    assert (await market.attempt(kept)).status == IN_PROGRESS
    assert await _repair_at_once(market) == 0


async def test_003_07_an_admission_whose_answer_was_lost_is_asked_for_again(
    tmp_path: Path, empty_redis_url: str
) -> None:
    """The connection breaks once Redis has admitted a batch in which one request comes twice."""

    def judge(piece: bytes) -> Cut | None:
        return Cut.AFTER if proxy.cuts == 0 and b"lost" in piece else None

    async with TcpProxy.before(empty_redis_url) as proxy:
        url = empty_redis_url.replace(str(proxy.upstream_port), str(proxy.port))
        async with open_market(tmp_path, url) as market:
            sale = await market.publish()
            await market.buy(sale)
            proxy.judge = judge
            requests = [market.request(sale, user_id, "lost") for user_id in (20, 21, 21, 22)]
            answers = got(await market.buy_many(requests))
            assert [one.user_id for one in answers] == ["20", "21", "21", "22"]
            assert await market.left(sale) == (6, 6)
            assert await market.redis.zcard(keys_of(int(sale.flash_sale_id))[3]) == 0
        assert proxy.cuts == 1


async def test_what_was_written_and_never_settled_is_settled(market: Market) -> None:
    sale = await market.publish()
    attempt = await market.buy(sale, request_id="one")
    # As if the process had ended before it told Redis.
    await market.redis.zadd(keys_of(int(sale.flash_sale_id))[3], {f"{BUYER} one": 1})
    assert await _repair_at_once(market) == 0
    assert await market.redis.zcard(keys_of(int(sale.flash_sale_id))[3]) == 0
    assert await market.left(sale) == (9, 9)
    assert await market.buy(sale, request_id="one") == attempt


@pytest.mark.parametrize("wrong", [0, 4, 99])
async def test_003_09_drift_is_repaired(market: Market, wrong: int) -> None:
    sale = await market.publish()
    await market.buy(sale)
    await market.redis.hset(keys_of(int(sale.flash_sale_id))[0], "left", str(wrong))
    assert await market.repair() == 1
    assert await market.left(sale) == (9, 9)
    assert await market.repair() == 0


async def test_003_09_too_much_in_redis_sells_nothing_that_is_not_there(market: Market) -> None:
    sale = await market.publish(goods_number=3)
    await market.buy(sale)
    await market.redis.hset(keys_of(int(sale.flash_sale_id))[0], "left", "50")
    answers = await all_at_once(market, sale, range(1000, 1100))
    assert len(got(answers)) == 2
    assert reasons(answers) == {"FLASH_SALE_SOLD_OUT"}
    assert await market.left(sale) == (0, 0)


async def test_an_edit_that_redis_did_not_hear_of_is_repaired(market: Market) -> None:
    sale = await market.publish()
    await market.buy(sale)
    table = tables.flash_sale
    await market.running.execute(table.update().values(revision=2, per_user_limit=2))
    assert reasons([await market.try_to_buy(sale)]) == {"FLASH_SALE_LIMIT_REACHED"}
    assert await market.repair() == 1
    assert (await market.buy(sale)).status == IN_PROGRESS


async def test_sales_are_looked_at_in_turn(market: Market) -> None:
    sales = [await market.publish() for _ in range(5)]
    for sale in sales:
        await market.buy(sale)
        await market.redis.hset(keys_of(int(sale.flash_sale_id))[0], "left", "1")
    request = pb.RepairAdmissionsRequest(flash_sales_max=2)
    counts = [(await market.call(market.jobs.RepairAdmissions, request)).repaired_count for _ in range(3)]
    assert counts == [2, 2, 1]


async def test_without_redis_buyers_are_told_to_come_again_and_rows_are_read(
    tmp_path: Path,
) -> None:
    server = await start_redis(tmp_path / "redis")
    async with open_market(tmp_path, server.url) as market:
        sale = await market.publish()
        attempt = await market.buy(sale, request_id="one")
        await server.kill()
        with pytest.raises(DomainError) as raised:
            await market.buy(sale, BUYER + 1)
        assert (raised.value.reason, raised.value.retry_after_seconds) == ("ADMISSION_UNAVAILABLE", 1)
        # The wallet's answer counts all the same.
        await market.answer("debit_refused", attempt)
        assert (await market.attempt(attempt)).status == COINS_SHORT
        server = await start_redis(tmp_path / "redis", server.url)
        # Redis has kept the admission, and was not told that it came to nothing.
        assert await market.repair() == 1
        await market.until_left(sale, 10)
        assert (await market.buy(sale)).status == IN_PROGRESS
    await server.stop()


async def test_a_caller_that_goes_away_leaves_nothing_half_done(market: Market) -> None:
    sale = await market.publish(goods_number=100)
    callers = [asyncio.create_task(market.try_to_buy(sale, user_id)) for user_id in range(1000, 1060)]
    for number, caller in enumerate(callers):
        if number % 3 == 0:
            await asyncio.sleep(0)
            caller.cancel()
    await asyncio.wait(callers)
    await market.buy(sale)
    rows = await market.running.rows(tables.attempt)
    assert await market.left(sale) == (100 - len(rows), 100 - len(rows))
    assert await market.redis.zcard(keys_of(int(sale.flash_sale_id))[3]) == 0


async def test_what_cannot_be_written_is_given_back(market: Market) -> None:
    sale = await market.publish()
    await market.running.execute(order_tables.id_block.delete())
    with pytest.raises(DomainError, match="INTERNAL"):
        await market.buy(sale)
    await market.running.execute(order_tables.id_block.insert().values(id=1, next_id=0))
    assert await market.left(sale) == (10, 10)
    assert (await market.buy(sale)).status == IN_PROGRESS


async def test_003_09_after_all_of_it_the_sums_are_what_they_were(market: Market) -> None:
    """Half of the users have coins; Redis is emptied, the bus is away, consumers are killed."""
    sale = await market.publish(goods_number=40)
    users = range(1000, 1080)
    await market.fund(990, *users[::2])

    async def disturb() -> None:
        for turn in range(4):
            market.running.bus.is_away = turn % 2 == 0
            await market.lose_redis()
            async with market.running.consuming() as consumer:
                await asyncio.sleep(0.15)
                consumer.cancel()
            market.skip_visibility()
        market.running.bus.is_away = False

    async def buy() -> list[pb.Attempt]:
        attempts = []
        for _ in range(4):
            attempts += got(await all_at_once(market, sale, users))
            await asyncio.sleep(0.1)
        return attempts

    attempts, _ = await asyncio.gather(buy(), disturb())
    async with market.running.consuming():
        ended = {one.attempt_id: await market.ended(one) for one in attempts}
        await market.repair()
    sold = [one for one in ended.values() if one.status == SOLD]
    assert await market.left(sale) == (40 - len(sold), 40 - len(sold))
    spent = 40 * 990 - sum([await market.balance_fen(user_id) for user_id in users])
    assert spent == len(sold) * 990
    assert len({one.user_id for one in sold}) == len(sold)
    assert len(await market.written("sold")) == len(sold)


async def _repair_at_once(market: Market) -> int:
    """Repair as if all that is pending were old."""
    await asyncio.sleep(0.002)
    admission = Admission(market.redis)
    database: Database = market.running.database
    return await Repair(database, admission, Loading(database, admission)).run(100, old_ms=0)
