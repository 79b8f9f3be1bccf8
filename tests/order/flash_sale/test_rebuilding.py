"""Checklist 003, lines 7 and 9: Redis is told of a sale anew while others buy, and by several processes at once."""

from __future__ import annotations

import pytest_asyncio

from mesh.testing import eventually
from order_rpc.flash_sale import storage
from order_rpc.flash_sale.admission import KEPT_AFTER_END_MS, KEPT_MS_MAX, Admission, Outcome, Settled, Verdict, keys_of
from order_rpc.flash_sale.domain import FlashSale, Refusal
from order_rpc.flash_sale.loading import Loading
from tests.order.flash_sale.harness import BRAND, BUYER, DAY_MS, HOUR_MS, Market, all_at_once, got, now_ms, reasons


@pytest_asyncio.fixture
async def admission(market: Market) -> Admission:
    return Admission(market.redis)


async def row_of(market: Market, sale_id: int) -> FlashSale:
    """Read a sale as a process does that then takes its time to tell Redis."""
    async with market.running.database.read() as connection:
        return (await storage.read_sales(connection, [sale_id]))[sale_id]


async def test_of_two_who_read_the_rows_the_one_who_read_before_a_buyer_came_is_refused(
    market: Market, admission: Admission
) -> None:
    sale = await market.publish(goods_number=1)
    stale = await row_of(market, int(sale.flash_sale_id))
    await market.buy(sale)
    assert not await admission.load(stale, [], now_ms())
    assert await market.left(sale) == (0, 0)
    assert reasons([await market.try_to_buy(sale)]) == {"FLASH_SALE_LIMIT_REACHED"}


async def test_what_was_read_before_a_row_was_written_sells_nothing_that_is_not_there(
    market: Market, admission: Admission
) -> None:
    sale = await market.publish(goods_number=2)
    stale = await row_of(market, int(sale.flash_sale_id))
    await market.buy(sale)
    await market.lose_redis()
    assert await admission.load(stale, [], now_ms())
    assert await market.in_redis(sale) == 2
    answers = await all_at_once(market, sale, [BUYER, *range(1000, 1010)])
    assert len(got(answers)) == 1
    await market.repair()
    assert await market.left(sale) == (0, 0)
    assert reasons([await market.try_to_buy(sale)]) == {"FLASH_SALE_LIMIT_REACHED"}


async def test_a_row_that_is_written_after_its_sale_was_read_anew_is_counted_once(
    market: Market, admission: Admission
) -> None:
    sale = await market.publish(goods_number=5, per_user_limit=2)
    sale_id = int(sale.flash_sale_id)
    await market.buy(sale, request_id="written")
    # Admitted, and then Redis loses everything and reads the rows, before the row of the second is written.
    assert await admission.admit(BRAND, sale_id, [(BUYER, "under way")]) == [Verdict.ADMITTED]
    await market.lose_redis()
    assert await admission.load(await row_of(market, sale_id), [(BUYER, "written")], now_ms())
    for _ in range(2):
        await admission.settle(sale_id, [Settled(BUYER, "under way", Outcome.KEPT)])
        assert await market.in_redis(sale) == 3
    requests = [(BUYER, "under way"), (BUYER, "third"), (BUYER + 1, "other")]
    assert await admission.admit(BRAND, sale_id, requests) == [Verdict.SEEN, Refusal.LIMIT_REACHED, Verdict.ADMITTED]


async def test_a_sale_is_not_repaired_by_what_was_read_while_somebody_bought(
    market: Market, admission: Admission
) -> None:
    sale = await market.publish()
    await market.buy(sale)
    sale_id = int(sale.flash_sale_id)
    loading = Loading(market.running.database, admission)
    seen = await admission.look(sale_id, old_ms=0, old_max=10)
    assert seen is not None
    assert (seen.left_number, seen.pending_count) == (9, 0)
    await market.buy(sale, BUYER + 1)
    assert not await loading.reload(sale_id, seen.version)
    seen = await admission.look(sale_id, old_ms=0, old_max=10)
    assert seen is not None
    assert await loading.reload(sale_id, seen.version)
    # Of two who repair at once the second changes nothing: the first gave it another version.
    assert not await loading.reload(sale_id, seen.version)
    assert await market.left(sale) == (8, 8)


async def test_what_two_give_back_at_once_goes_back_once(market: Market, admission: Admission) -> None:
    sale = await market.publish(goods_number=3)
    sale_id = int(sale.flash_sale_id)
    await market.buy(sale)
    assert await admission.admit(BRAND, sale_id, [(BUYER + 1, "lost")]) == [Verdict.ADMITTED]
    for _ in range(2):
        await admission.settle(sale_id, [Settled(BUYER + 1, "lost", Outcome.UNDONE)])
        assert await market.left(sale) == (2, 2)
    assert got([await market.try_to_buy(sale, BUYER + 1, "lost")])


async def test_nothing_of_a_sale_is_kept_for_longer_than_a_day(market: Market) -> None:
    short = await market.publish(end_ms=now_ms() + HOUR_MS)
    long = await market.publish(end_ms=now_ms() + 80 * DAY_MS)
    early = await market.publish(start_ms=now_ms() + 300 * DAY_MS, end_ms=now_ms() + 301 * DAY_MS)
    for sale in (short, long, early):
        await market.try_to_buy(sale)
    assert [HOUR_MS < kept <= HOUR_MS + KEPT_AFTER_END_MS for kept in await market.kept_ms(short)] == [True] * 3
    assert [DAY_MS - HOUR_MS < kept <= KEPT_MS_MAX for kept in await market.kept_ms(long)] == [True] * 3
    assert [0 < kept <= KEPT_MS_MAX for kept in await market.kept_ms(early)] == [True]


async def test_a_sale_that_redis_has_kept_long_enough_is_read_anew_and_sells_on(
    market: Market, admission: Admission
) -> None:
    sale = await market.publish(goods_number=3, end_ms=now_ms() + 80 * DAY_MS)
    sale_id = int(sale.flash_sale_id)
    refused = await market.buy(sale, BUYER, "refused")
    await market.buy(sale, BUYER + 1)
    assert await admission.admit(BRAND, sale_id, [(BUYER + 2, "under way")]) == [Verdict.ADMITTED]
    for key in keys_of(sale_id):
        await market.redis.pexpire(key, 1)

    async def is_gone() -> bool:
        return await market.kept_ms(sale) == []

    await eventually(is_gone)
    # What is told of it meanwhile finds nothing, and leaves nothing.
    await market.answer("debit_refused", refused)
    assert await market.repair() == 0
    assert await market.kept_ms(sale) == []

    answers = await all_at_once(market, sale, range(BUYER, BUYER + 10))
    assert len(got(answers)) == 2
    assert reasons(answers) == {"FLASH_SALE_SOLD_OUT", "FLASH_SALE_LIMIT_REACHED"}
    await market.repair()
    assert await market.left(sale) == (0, 0)


async def test_the_repair_tells_redis_of_no_sale_that_is_gone_from_it(market: Market, admission: Admission) -> None:
    sale = await market.publish()
    await market.buy(sale)
    sale_id = int(sale.flash_sale_id)
    seen = await admission.look(sale_id, old_ms=0, old_max=10)
    assert seen is not None
    await market.lose_redis()
    assert not await Loading(market.running.database, admission).reload(sale_id, seen.version)
    assert await market.kept_ms(sale) == []
