"""Checklist 003, line 1: flash sales are published, and changed by their sellers until they start."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from mesh.errors import DomainError
from order_rpc.flash_sale import tables
from tests.order.flash_sale.harness import BRAND, DAY_MS, HOUR_MS, OTHER_BRAND, OTHER_SELLER, Market, now_ms


async def test_003_01_what_was_published_is_found(market: Market) -> None:
    sale = await market.publish(price="9.9", per_user_limit=3)
    assert await market.get(sale) == sale
    assert (sale.price, sale.goods_number, sale.left_number, sale.per_user_limit) == ("9.90", 10, 10, 3)


async def test_003_01_the_start_is_before_the_end(market: Market) -> None:
    at_ms = now_ms() + 5000
    for start_ms, end_ms in ((at_ms + 1000, at_ms), (at_ms, at_ms)):
        with pytest.raises(DomainError, match="must be later than start_time") as raised:
            await market.publish(start_ms=start_ms, end_ms=end_ms)
        assert [one.field for one in raised.value.violations] == ["end_time"]
    with pytest.raises(DomainError, match="must be in the future"):
        await market.publish(start_ms=1000, end_ms=2000)
    assert await market.running.rows(tables.flash_sale) == []


@pytest.mark.parametrize(("start_ms", "end_ms", "field"), [(-1, 2**40, "start_time"), (0, 2**62, "end_time")])
async def test_003_01_times_that_no_column_holds_are_refused(
    market: Market, start_ms: int, end_ms: int, field: str
) -> None:
    start_time, end_time = (Timestamp(seconds=at_ms // 1000) for at_ms in (start_ms, end_ms))
    with pytest.raises(DomainError, match="must be no") as raised:
        await market.publish(start_time=start_time, end_time=end_time)
    assert [one.field for one in raised.value.violations] == [field]
    assert await market.running.rows(tables.flash_sale) == []


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "field"),
    [(366 * DAY_MS, 367 * DAY_MS, "start_time"), (-DAY_MS, 90 * DAY_MS, "end_time"), (0, 91 * DAY_MS, "end_time")],
)
async def test_a_sale_starts_within_a_year_and_ends_within_90_days(
    market: Market, start_ms: int, end_ms: int, field: str
) -> None:
    in_a_year = {"start_ms": now_ms() + 364 * DAY_MS, "end_ms": now_ms() + (364 + 90) * DAY_MS - 1000}
    sale = await market.publish(**in_a_year)
    too_far = {"start_ms": now_ms() + start_ms, "end_ms": now_ms() + end_ms}
    for refuse in (partial(market.publish, **too_far), partial(market.edit, sale, **too_far)):
        with pytest.raises(DomainError, match="must be no later than") as raised:
            await refuse()
        assert raised.value.reason == "INVALID_REQUEST"
        assert [one.field for one in raised.value.violations] == [field]
    assert await market.get(sale) == sale
    assert len(await market.running.rows(tables.flash_sale)) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("goods_number", 0), ("goods_number", 100_001), ("price", "-1"), ("price", "1.234"), ("goods_name", ""),
        ("goods_name", "a\nb"), ("goods_desc", "\x00"),
        ("per_user_limit", -1), ("notify_email", "nobody"), ("start_time", None), ("end_time", None),
    ],
)  # fmt: skip
async def test_003_01_bad_input_is_told_by_its_field(market: Market, field: str, value: Any) -> None:
    with pytest.raises(DomainError) as raised:
        await market.publish(**{field: value})
    assert raised.value.reason == "INVALID_REQUEST"
    assert [one.field for one in raised.value.violations] == [field]
    assert await market.running.rows(tables.flash_sale) == []


async def test_003_01_a_request_publishes_once(market: Market) -> None:
    times = {"start_ms": now_ms(), "end_ms": now_ms() + HOUR_MS}
    sale = await market.publish(request_id="one", **times)
    assert await market.publish(request_id="one", **times) == sale
    with pytest.raises(DomainError, match="KEY_REUSED"):
        await market.publish(request_id="one", price="1", **times)
    assert len(await market.running.rows(tables.flash_sale)) == 1


async def test_003_01_it_is_changed_until_it_starts(market: Market) -> None:
    sale = await market.publish(start_ms=now_ms() + HOUR_MS, end_ms=now_ms() + 2 * HOUR_MS)
    edited = await market.edit(sale, price="5", goods_number=3, start_ms=now_ms() - 1, end_ms=now_ms() + HOUR_MS)
    assert (edited.price, edited.goods_number, edited.left_number) == ("5.00", 3, 3)
    with pytest.raises(DomainError, match="FLASH_SALE_STARTED"):
        await market.edit(sale, price="6")
    assert await market.get(sale) == edited


async def test_003_01_what_redis_knew_of_it_is_changed_too(market: Market) -> None:
    sale = await market.publish(start_ms=now_ms() + HOUR_MS, end_ms=now_ms() + 2 * HOUR_MS)
    with pytest.raises(DomainError, match="FLASH_SALE_NOT_STARTED"):
        await market.buy(sale)
    await market.edit(sale, goods_number=3)
    await market.buy(sale)
    assert await market.left(sale) == (2, 2)


async def test_redis_is_told_of_an_edit_only_where_it_knows_the_sale(market: Market) -> None:
    times = {"start_ms": now_ms() + HOUR_MS, "end_ms": now_ms() + 2 * HOUR_MS}
    wanted, unknown = [await market.publish(**times) for _ in range(2)]
    with pytest.raises(DomainError, match="FLASH_SALE_NOT_STARTED"):
        await market.buy(wanted)
    for sale in (wanted, unknown):
        await market.edit(sale, goods_number=3, **times)
    assert await market.in_redis(wanted) == 3
    assert await market.kept_ms(unknown) == []
    # Its first buyer has it read.
    await market.edit(unknown, goods_number=2)
    await market.buy(unknown)
    assert await market.left(unknown) == (1, 1)


async def test_003_01_others_are_refused(market: Market) -> None:
    sale = await market.publish(start_ms=now_ms() + HOUR_MS, end_ms=now_ms() + 2 * HOUR_MS)
    with pytest.raises(DomainError, match="NOT_THE_SELLER"):
        await market.edit(sale, seller_id=OTHER_SELLER)
    with pytest.raises(DomainError, match="FLASH_SALE_NOT_FOUND"):
        await market.edit(sale, brand_id=OTHER_BRAND)
    assert await market.get(sale) == sale


async def test_sales_are_listed_newest_first(market: Market) -> None:
    sales = [await market.publish() for _ in range(3)]
    await market.publish(brand_id=OTHER_BRAND)
    await market.set_sale(sales[1], end_time_ms=now_ms() - 1, start_time_ms=1)

    async def ids(**fields: object) -> tuple[list[str], str]:
        request = pb.ListFlashSalesRequest(brand_id=BRAND, **fields)  # type: ignore[arg-type]  # fields of the request
        response = await market.call(market.sales.ListFlashSales, request)
        return [one.flash_sale_id for one in response.flash_sales], response.next_page_token

    assert await ids() == ([one.flash_sale_id for one in reversed(sales)], "")
    first, token = await ids(page_size=1)
    rest, end = await ids(page_token=token, open_only=True)
    assert (first, rest, end) == ([sales[2].flash_sale_id], [sales[0].flash_sale_id], "")
