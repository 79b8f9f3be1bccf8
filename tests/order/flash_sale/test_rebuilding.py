"""Checklist 003, lines 7 and 9: Redis is told of a sale anew while others buy, and by several processes at once."""

from __future__ import annotations

import pytest_asyncio

from order_rpc.flash_sale import storage
from order_rpc.flash_sale.admission import Admission, Outcome, Settled, Verdict
from order_rpc.flash_sale.domain import FlashSale, Refusal
from order_rpc.flash_sale.loading import Loading
from tests.order.flash_sale.harness import BRAND, BUYER, Market, all_at_once, got, now_ms, reasons


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
