"""What is sold: descriptions, stocks by hand, lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from brandmesh.goods.v1 import goods_pb2 as pb
from mesh.errors import DomainError
from order_rpc.goods import tables
from tests.order.goods.harness import BRAND, Store, open_store


class TestCreating:
    async def test_002_01_new_goods_have_their_stock_and_a_log_of_it(self, store: Store) -> None:
        goods = await store.create(10, goods_price="12.5")
        assert (goods.brand_id, goods.goods_name, goods.goods_number, goods.goods_price, goods.goods_desc) == (
            BRAND, "毛巾", 10, "12.50", "soft",
        )  # fmt: skip
        assert goods.on_sale
        assert goods.add_time.seconds > 0
        assert await store.get(goods) == goods
        assert await store.changes(goods) == [("", 10)]

    async def test_goods_without_stock_have_no_log(self, store: Store) -> None:
        assert await store.changes(await store.create(0)) == []

    async def test_the_same_request_gets_the_goods_as_they_are_now(self, store: Store) -> None:
        goods = await store.create(10, request_id="once")
        await store.update(goods, goods_name="Towel", goods_price="9.99", on_sale=False)
        await store.adjust(goods, -4)
        again = await store.create(10, request_id="once")
        assert (again.goods_id, again.goods_name, again.goods_number) == (goods.goods_id, "Towel", 6)
        assert len(await store.process.rows(tables.goods)) == 1
        await store.prove_conservation()

    async def test_the_same_request_at_once_makes_goods_once(self, store: Store) -> None:
        made = await asyncio.gather(*(store.create(10, request_id="once") for _ in range(20)))
        assert len({goods.goods_id for goods in made}) == len(await store.process.rows(tables.goods)) == 1
        assert await store.changes(made[0]) == [("", 10)]

    @pytest.mark.parametrize(
        "change",
        [
            {"goods_name": "Towel"},
            {"goods_number": 11},
            {"goods_price": "12.51"},
            {"goods_desc": "softer"},
            {"on_sale": False},
        ],
        ids=lambda change: next(iter(change)),
    )
    async def test_the_same_request_with_another_body_is_refused(self, store: Store, change: dict[str, Any]) -> None:
        goods = await store.create(10, request_id="once")
        with pytest.raises(DomainError, match="KEY_REUSED") as refusal:
            await store.create(**{"goods_number": 10, "request_id": "once", **change})
        assert refusal.value.code is grpc.StatusCode.ALREADY_EXISTS
        assert await store.get(goods) == goods
        assert len(await store.process.rows(tables.goods)) == 1

    async def test_a_body_is_the_same_however_its_price_is_written(self, store: Store) -> None:
        goods = await store.create(10, request_id="once", goods_price="12.5")
        assert await store.create(10, request_id="once", goods_price="12.50") == goods

    async def test_another_brand_may_use_the_same_request_id(self, store: Store) -> None:
        goods = await store.create(request_id="once")
        assert (await store.create(request_id="once", brand_id=BRAND + 1)).goods_id != goods.goods_id

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"goods_name": ""}, "goods_name"),
            ({"goods_name": "x" * 256}, "goods_name"),
            ({"goods_name": "x\x00y"}, "goods_name"),
            ({"goods_desc": "x\x1b[2J"}, "goods_desc"),
            ({"goods_number": -1}, "goods_number"),
            ({"goods_price": "-0.01"}, "goods_price"),
            ({"goods_price": "1.001"}, "goods_price"),
            ({"goods_price": ""}, "goods_price"),
            ({"goods_desc": "x" * 256}, "goods_desc"),
            ({"brand_id": 0}, "brand_id"),
            ({"request_id": "a b"}, "request_id"),
        ],
    )
    async def test_bad_input_is_refused_by_its_field_and_nothing_is_written(
        self, store: Store, change: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(DomainError, match="INVALID_REQUEST") as refusal:
            await store.create(**{"goods_number": 10, **change})
        assert {violation.field for violation in refusal.value.violations} == {field}
        assert await store.process.rows(tables.goods) == []


class TestDescribing:
    async def test_goods_are_described_anew_and_keep_their_stock(self, store: Store) -> None:
        goods = await store.create(10)
        await store.update(goods, goods_name="Towel", goods_price="0.01", goods_desc="", on_sale=False)
        now = await store.get(goods)
        assert (now.goods_name, now.goods_price, now.goods_desc, now.on_sale, now.goods_number) == (
            "Towel", "0.01", "", False, 10,
        )  # fmt: skip

    async def test_another_brand_s_goods_are_not_found(self, store: Store) -> None:
        goods, stranger = await store.create(), BRAND + 1
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.get(goods, stranger),
            lambda: store.update(goods, brand_id=stranger, goods_name="mine"),
            lambda: store.adjust(goods, -1, brand_id=stranger),
            lambda: store.logs(goods, brand_id=stranger),
            lambda: store.take(1, (goods, 1), brand_id=stranger),
        ]
        for call in calls:
            with pytest.raises(DomainError, match="GOODS_NOT_FOUND") as refusal:
                await call()
            assert refusal.value.code is grpc.StatusCode.NOT_FOUND
        assert await store.get_many(int(goods.goods_id), brand_id=stranger) == []
        assert await store.get(goods) == goods
        assert await store.changes(goods) == [("", 10)]

    async def test_goods_that_are_nowhere_are_not_found(self, store: Store) -> None:
        with pytest.raises(DomainError, match="GOODS_NOT_FOUND"):
            await store.get(pb.Goods(goods_id="5"))


class TestAdjusting:
    async def test_a_stock_grows_and_shrinks_down_to_nothing(self, store: Store) -> None:
        goods = await store.create(10)
        assert (await store.adjust(goods, 5)).goods_number == 15
        assert (await store.adjust(goods, -15)).goods_number == 0
        assert await store.changes(goods) == [("", -15), ("", 5), ("", 10)]

    async def test_more_than_there_is_is_refused_with_what_is_left(self, store: Store) -> None:
        goods = await store.create(10)
        await store.take(1, (goods, 4))
        with pytest.raises(DomainError, match="STOCK_SHORT") as refusal:
            await store.adjust(goods, -7)
        assert refusal.value.metadata == {"goods_id": goods.goods_id, "goods_number": "6"}
        assert await store.prove_conservation() == {int(goods.goods_id): 6}

    async def test_a_repeat_changes_nothing_even_if_it_were_refused_by_now(self, store: Store) -> None:
        goods = await store.create(10)
        await store.adjust(goods, -8, request_id="once")
        assert (await store.adjust(goods, -8, request_id="once")).goods_number == 2
        assert await store.changes(goods) == [("", -8), ("", 10)]

    async def test_a_refused_request_may_be_made_again_when_there_is_more(self, store: Store) -> None:
        goods = await store.create(1)
        with pytest.raises(DomainError, match="STOCK_SHORT"):
            await store.adjust(goods, -2, request_id="once")
        await store.adjust(goods, 1)
        assert (await store.adjust(goods, -2, request_id="once")).goods_number == 0

    async def test_the_same_request_with_another_body_is_refused(self, store: Store) -> None:
        goods, others = await store.create(10), await store.create(10)
        await store.adjust(goods, 1, request_id="once")
        for call in (store.adjust(goods, 2, request_id="once"), store.adjust(others, 1, request_id="once")):
            with pytest.raises(DomainError, match="KEY_REUSED"):
                await call
        assert await store.prove_conservation() == {int(goods.goods_id): 11, int(others.goods_id): 10}

    async def test_one_request_of_two_goods_at_once_adjusts_one(self, store: Store, tmp_path: Path) -> None:
        async with open_store(tmp_path, database_url=store.process.settings.database_url) as other:
            for request_id in map(str, range(5)):
                goods = [await store.create(10), await other.create(10, request_id=f"other-{request_id}")]
                calls = (
                    one.adjust(some, 1, request_id=request_id) for one, some in zip((store, other), goods, strict=True)
                )
                answers = await asyncio.gather(*calls, return_exceptions=True)
                assert [one.reason for one in answers if isinstance(one, DomainError)] == ["KEY_REUSED"], answers
                assert sum([await store.left(one) for one in goods]) == 21
        await store.prove_conservation()

    @pytest.mark.parametrize("change", [0, 1_000_000_001, -1_000_000_001])
    async def test_bad_input_is_refused_by_its_field(self, store: Store, change: int) -> None:
        goods = await store.create(10)
        with pytest.raises(DomainError, match="change") as refusal:
            await store.adjust(goods, change)
        assert refusal.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert await store.left(goods) == 10

    async def test_many_at_once_lose_nothing(self, store: Store) -> None:
        goods = await store.create(0)
        await asyncio.gather(*(store.adjust(goods, number) for number in range(1, 21)))
        assert await store.left(goods) == 210
        await asyncio.gather(*(store.adjust(goods, -210, request_id="once") for _ in range(5)))
        assert await store.prove_conservation() == {int(goods.goods_id): 0}


class TestLists:
    async def test_goods_are_listed_in_pages_newest_first(self, store: Store) -> None:
        made = [await store.create(on_sale=number % 2 == 0) for number in range(5)]
        await store.create(brand_id=BRAND + 1)

        async def ids(**fields: Any) -> list[str]:
            seen: list[str] = []
            token = ""
            while token or not seen:
                page = await store.page(page_size=2, page_token=token, **fields)
                assert len(page.goods) <= 2
                seen += [one.goods_id for one in page.goods]
                token = page.next_page_token
            return seen

        newest_first = [goods.goods_id for goods in reversed(made)]
        assert await ids() == newest_first
        assert await ids(on_sale_only=True) == newest_first[::2]

    async def test_logs_are_listed_in_pages_newest_first(self, store: Store) -> None:
        goods = await store.create(10)
        await store.take(3, (goods, 2))
        await store.cancel(3)
        seen: list[tuple[str, int]] = []
        token = ""
        while token or not seen:
            page = await store.logs(goods, page_size=1, page_token=token)
            seen += [(log.order_id, log.goods_number) for log in page.stock_logs]
            token = page.next_page_token
        assert seen == [("3", 2), ("3", -2), ("", 10)]

    async def test_of_many_those_that_exist_are_answered(self, store: Store) -> None:
        goods = [await store.create() for _ in range(3)]
        ids = [int(one.goods_id) for one in goods]
        found = await store.get_many(*ids, ids[0], 5, -1)
        assert sorted(found, key=lambda one: one.goods_id) == goods

    async def test_a_page_token_of_nobody_is_refused(self, store: Store) -> None:
        with pytest.raises(DomainError, match="page_token"):
            await store.page(page_token="W10=")
