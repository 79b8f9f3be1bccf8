"""Giving coupons, and looking at them."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from brandmesh.coupon.v1 import coupon_pb2 as pb
from mesh.errors import DomainError
from mesh.timestamps import to_ms, to_timestamp
from order_rpc.coupon import tables
from tests.order.coupon.harness import BRAND, HOUR_MS, USER, Desk, now_ms


async def test_002_01_a_new_coupon_is_its_user_s_and_unused(desk: Desk) -> None:
    expires_ms = now_ms() + HOUR_MS
    coupon = await desk.issue(coupon_price="12.5", expire_time=to_timestamp(expires_ms))
    assert (coupon.user_id, coupon.coupon_price, coupon.is_used, coupon.order_id) == (str(USER), "12.50", False, "")
    assert not coupon.HasField("used_time")
    assert to_ms(coupon.expire_time) == expires_ms
    assert abs(to_ms(coupon.create_time) - now_ms()) < 60_000
    assert await desk.get(coupon) == coupon
    (row,) = await desk.process.rows(tables.coupon)
    assert (row["brand_id"], row["coupon_price_fen"], row["is_used"], row["order_id"], row["used_time_ms"]) == (
        BRAND, 1250, 0, 0, 0,
    )  # fmt: skip


async def test_the_same_request_gets_the_same_coupon_even_after_it_was_used_and_has_expired(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire_time = to_timestamp(now_ms() + HOUR_MS)
    first = await desk.issue(request_id="once", expire_time=expire_time)
    await desk.use(first, 1)
    desk.pass_hours(monkeypatch, 2)
    again = await desk.issue(request_id="once", expire_time=expire_time)
    assert (again.coupon_id, again.order_id) == (first.coupon_id, "1")
    assert len(await desk.process.rows(tables.coupon)) == 1


async def test_the_same_request_at_once_makes_one_coupon(desk: Desk) -> None:
    expire_time = to_timestamp(now_ms() + HOUR_MS)
    made = await asyncio.gather(*(desk.issue(request_id="once", expire_time=expire_time) for _ in range(20)))
    assert len({coupon.coupon_id for coupon in made}) == len(await desk.process.rows(tables.coupon)) == 1


@pytest.mark.parametrize(
    "change",
    [{"user_id": "5"}, {"coupon_price": "5.01"}, {"expire_time": to_timestamp(now_ms() + 2 * HOUR_MS)}],
    ids=lambda change: next(iter(change)),
)
async def test_the_same_request_with_another_body_is_refused(desk: Desk, change: dict[str, Any]) -> None:
    same: dict[str, Any] = {"request_id": "once", "expire_time": to_timestamp(now_ms() + HOUR_MS)}
    await desk.issue(**same)
    with pytest.raises(DomainError, match="KEY_REUSED") as refusal:
        await desk.issue(**{**same, **change})
    assert refusal.value.code is grpc.StatusCode.ALREADY_EXISTS
    assert len(await desk.process.rows(tables.coupon)) == 1


async def test_another_brand_may_use_the_same_request_id(desk: Desk) -> None:
    first = await desk.issue(request_id="once")
    assert (await desk.issue(request_id="once", brand_id=BRAND + 1)).coupon_id != first.coupon_id


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"coupon_price": "0"}, "coupon_price"),
        ({"coupon_price": "0.00"}, "coupon_price"),
        ({"coupon_price": "-1"}, "coupon_price"),
        ({"coupon_price": "1.001"}, "coupon_price"),
        ({"coupon_price": "1e3"}, "coupon_price"),
        ({"expire_time": None}, "expire_time"),
        ({"expire_time": to_timestamp(1)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=253_402_300_800)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=(1 << 63) - 1)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=-1 << 63)}, "expire_time"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "-1"}, "user_id"),
        ({"brand_id": 0}, "brand_id"),
        ({"request_id": ""}, "request_id"),
    ],
)
async def test_bad_input_is_refused_by_its_field_and_nothing_is_written(
    desk: Desk, change: dict[str, Any], field: str
) -> None:
    with pytest.raises(DomainError, match="INVALID_REQUEST") as refusal:
        await desk.issue(**change)
    assert {violation.field for violation in refusal.value.violations} == {field}
    assert await desk.process.rows(tables.coupon) == []


async def test_002_05_another_s_coupon_is_not_found(desk: Desk) -> None:
    coupon = await desk.issue()
    for other in ({"user_id": USER + 1}, {"brand_id": BRAND + 1}):
        with pytest.raises(DomainError, match="COUPON_NOT_FOUND") as refusal:
            await desk.get(coupon, **other)
        assert refusal.value.code is grpc.StatusCode.NOT_FOUND
    with pytest.raises(DomainError, match="COUPON_NOT_FOUND"):
        await desk.get(pb.Coupon(coupon_id="1"))


async def test_lists_are_the_user_s_own_in_pages_newest_first(desk: Desk) -> None:
    mine = [await desk.issue() for _ in range(5)]
    await desk.issue(user_id=str(USER + 1))
    await desk.issue(brand_id=BRAND + 1)
    seen: list[str] = []
    token = ""
    while token or not seen:
        page = await desk.list(page_size=2, page_token=token)
        assert len(page.coupons) <= 2
        seen += [coupon.coupon_id for coupon in page.coupons]
        token = page.next_page_token
    assert seen == [coupon.coupon_id for coupon in reversed(mine)]


async def test_usable_are_those_that_are_neither_used_nor_expired(desk: Desk) -> None:
    used, expired, usable = [await desk.issue() for _ in range(3)]
    await desk.use(used, 1)
    await desk.expire(expired)
    assert [coupon.coupon_id for coupon in (await desk.list(usable_only=True)).coupons] == [usable.coupon_id]
    assert len((await desk.list()).coupons) == 3


async def test_a_page_token_of_nobody_is_refused(desk: Desk) -> None:
    with pytest.raises(DomainError, match="page_token"):
        await desk.list(page_token="W10=")
