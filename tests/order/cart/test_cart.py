"""What users put into their carts and take out, and what confirmed orders take out."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from brandmesh.messaging.v1.messaging_pb2 import CONSUMED_STATUS_FAILED, CONSUMED_STATUS_SUCCEEDED
from mesh.errors import DomainError
from mesh.loopback import LOOPBACK, free_port
from order_rpc.cart import tables
from order_rpc.cart.domain import LINES_MAX
from tests.order.cart.harness import BRAND, USER, Shop, numbers, open_shop


class TestPutting:
    async def test_a_cart_shows_what_its_goods_are_and_cost_now(self, shop: Shop) -> None:
        towel = await shop.create()
        cart = await shop.put(towel, 2)
        (line,) = cart.lines
        assert (line.goods_id, line.goods_number, line.goods_name, line.goods_price) == (towel, 2, "毛巾", "12.50")
        assert (line.stock_number, line.can_be_ordered, cart.goods_amount) == (10, True, "25.00")
        assert line.add_time.seconds > 0
        await shop.update(towel, goods_name="Towel", goods_price="0.01")
        cart = await shop.get()
        assert (cart.lines[0].goods_name, cart.lines[0].goods_price, cart.goods_amount) == ("Towel", "0.01", "0.02")

    async def test_the_number_is_what_was_put_last_and_the_line_keeps_its_place(self, shop: Shop) -> None:
        first, second = await shop.create(), await shop.create()
        added = (await shop.put(first, 5)).lines[0].add_time
        await shop.put(second)
        cart = await shop.put(first, 3)
        assert list(numbers(cart).items()) == [(first, 3), (second, 1)]
        assert cart.lines[0].add_time == added

    async def test_what_was_taken_out_and_put_in_again_comes_last(self, shop: Shop) -> None:
        first, second = await shop.create(), await shop.create()
        await shop.put(first)
        await shop.put(second)
        await shop.delete(first)
        assert list(numbers(await shop.put(first))) == [second, first]

    async def test_a_repeat_changes_nothing(self, shop: Shop) -> None:
        towel = await shop.create()
        cart = await shop.put(towel, 2)
        assert await shop.put(towel, 2) == cart

    async def test_more_than_the_stock_may_be_put_in_and_cannot_be_ordered_now(self, shop: Shop) -> None:
        towel, soap = await shop.create(goods_number=2), await shop.create(goods_number=3, goods_price="1")
        await shop.put(towel, 3)
        cart = await shop.put(soap, 3)
        assert [line.can_be_ordered for line in cart.lines] == [False, True]
        assert cart.goods_amount == "3.00"

    async def test_goods_that_are_not_on_sale_any_more_stay_and_cannot_be_ordered(self, shop: Shop) -> None:
        towel = await shop.create()
        await shop.put(towel)
        await shop.update(towel, on_sale=False)
        cart = await shop.get()
        assert [(line.goods_name, line.can_be_ordered) for line in cart.lines] == [("毛巾", False)]
        assert cart.goods_amount == "0.00"

    async def test_goods_that_are_gone_have_no_name_and_no_price(self, shop: Shop) -> None:
        await shop.put(await shop.create())
        await shop.process.execute(tables.cart_line.update().values(goods_id=5))
        (line,) = (await shop.get()).lines
        assert (line.goods_id, line.goods_name, line.goods_price, line.stock_number, line.can_be_ordered) == (
            "5", "", "", 0, False,
        )  # fmt: skip

    async def test_002_03_goods_that_cannot_be_ordered_are_refused_and_nothing_is_written(self, shop: Shop) -> None:
        shelved, foreign = await shop.create(on_sale=False), await shop.create(brand_id=BRAND + 1)
        with pytest.raises(DomainError, match="GOODS_NOT_ON_SALE") as refusal:
            await shop.put(shelved)
        assert refusal.value.code is grpc.StatusCode.FAILED_PRECONDITION
        for missing in (foreign, "5"):
            with pytest.raises(DomainError, match="GOODS_NOT_FOUND") as refusal:
                await shop.put(missing)
            assert refusal.value.code is grpc.StatusCode.NOT_FOUND
            assert refusal.value.metadata == {"goods_id": missing}
        assert await shop.process.rows(tables.cart) == await shop.process.rows(tables.cart_line) == []

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"goods_number": 0}, "goods_number"),
            ({"goods_number": -1}, "goods_number"),
            ({"goods_number": 1_000_001}, "goods_number"),
            ({"user_id": "x"}, "user_id"),
            ({"brand_id": 0}, "brand_id"),
            ({"goods_id": ""}, "goods_id"),
        ],
    )
    async def test_002_04_bad_input_is_refused_by_its_field(
        self, shop: Shop, change: dict[str, Any], field: str
    ) -> None:
        towel = await shop.create()
        with pytest.raises(DomainError, match="INVALID_REQUEST") as refusal:
            await shop.put(**{"goods_id": towel, **change})
        assert {violation.field for violation in refusal.value.violations} == {field}
        assert await shop.process.rows(tables.cart_line) == []


class TestFullCart:
    async def test_a_full_cart_takes_no_other_goods_but_more_of_the_same(self, shop: Shop) -> None:
        goods = [await shop.create() for _ in range(LINES_MAX + 1)]
        for one in goods[:-1]:
            await shop.put(one)
        with pytest.raises(DomainError, match="CART_FULL") as refusal:
            await shop.put(goods[-1])
        assert refusal.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert numbers(await shop.put(goods[0], 7))[goods[0]] == 7
        await shop.delete(goods[1])
        assert list(numbers(await shop.put(goods[-1]))) == [goods[0], *goods[2:]]

    async def test_carts_of_others_do_not_fill_it(self, shop: Shop) -> None:
        towel = await shop.create()
        foreign = await shop.create(brand_id=BRAND + 1)
        await shop.put(towel, user_id=str(USER + 1))
        await shop.put(foreign, brand_id=BRAND + 1)
        assert numbers(await shop.get()) == {}
        assert numbers(await shop.put(towel, 3)) == {towel: 3}
        assert numbers(await shop.get(brand_id=BRAND + 1)) == {foreign: 1}


class TestConcurrency:
    async def test_concurrent_puts_lose_nothing_in_two_processes(self, shop: Shop, tmp_path: Path) -> None:
        goods = [await shop.create() for _ in range(20)]
        async with open_shop(tmp_path, database_url=shop.process.settings.database_url) as other:
            await asyncio.gather(*((shop, other)[number % 2].put(one, number + 1) for number, one in enumerate(goods)))
        cart = await shop.get()
        assert numbers(cart) == {one: number + 1 for number, one in enumerate(goods)}
        assert len({row["position"] for row in await shop.process.rows(tables.cart_line)}) == 20

    async def test_the_same_goods_at_once_are_one_line(self, shop: Shop) -> None:
        towel = await shop.create()
        await asyncio.gather(*(shop.put(towel, number) for number in range(1, 11)))
        ((goods_id, number),) = numbers(await shop.get()).items()
        assert goods_id == towel
        assert 1 <= number <= 10

    async def test_two_for_the_last_place_one_wins(self, shop: Shop, tmp_path: Path) -> None:
        goods = [await shop.create() for _ in range(LINES_MAX + 4)]
        for one in goods[: LINES_MAX - 1]:
            await shop.put(one)

        async def try_put(where: Shop, one: str) -> str:
            try:
                await where.put(one)
            except DomainError as error:
                return error.reason
            return ""

        async with open_shop(tmp_path, database_url=shop.process.settings.database_url) as other:
            last = enumerate(goods[LINES_MAX - 1 :])
            outcomes = await asyncio.gather(*(try_put((shop, other)[number % 2], one) for number, one in last))
        assert Counter(outcomes) == {"": 1, "CART_FULL": 4}
        assert len((await shop.get()).lines) == LINES_MAX


class TestTakingOut:
    async def test_goods_are_taken_out_once(self, shop: Shop) -> None:
        towel, soap = await shop.create(), await shop.create()
        await shop.put(towel)
        await shop.put(soap)
        assert numbers(await shop.delete(towel)) == numbers(await shop.delete(towel)) == {soap: 1}

    async def test_a_cart_is_emptied_and_others_are_not(self, shop: Shop) -> None:
        towel = await shop.create()
        await shop.put(towel)
        await shop.put(towel, user_id=str(USER + 1))
        await shop.clear()
        await shop.clear()
        assert numbers(await shop.get()) == {}
        assert numbers(await shop.get(user_id=str(USER + 1))) == {towel: 1}
        assert numbers(await shop.put(towel)) == {towel: 1}

    async def test_002_07_a_confirmed_order_takes_out_what_it_bought_and_no_more(self, shop: Shop) -> None:
        towel, soap, comb = [await shop.create() for _ in range(3)]
        for one in (towel, soap):
            await shop.put(one)
            await shop.put(one, user_id=str(USER + 1))
        (result,) = await shop.confirm(towel, comb)
        assert result.status == CONSUMED_STATUS_SUCCEEDED
        assert numbers(await shop.get()) == {soap: 1}
        assert numbers(await shop.get(user_id=str(USER + 1))) == {towel: 1, soap: 1}

    async def test_002_08_the_message_twice_takes_out_once(self, shop: Shop) -> None:
        towel = await shop.create()
        await shop.put(towel)
        await shop.confirm(towel, msg_id=5)
        await shop.put(towel, 2)
        await shop.confirm(towel, msg_id=5)
        assert numbers(await shop.get()) == {towel: 2}

    async def test_another_brand_s_order_takes_nothing_out(self, shop: Shop) -> None:
        towel = await shop.create()
        await shop.put(towel)
        await shop.confirm(towel, brand_id=BRAND + 1)
        assert numbers(await shop.get()) == {towel: 1}

    @pytest.mark.parametrize(
        "body", [{"user_id": USER}, {"brand_id": BRAND, "user_id": None, "goods_ids": []}, {"goods_ids": 5}]
    )
    async def test_a_message_that_does_not_say_what_was_bought_fails_at_once(
        self, shop: Shop, body: dict[str, Any]
    ) -> None:
        (result,) = await shop.confirm(body=body)
        assert result.status == CONSUMED_STATUS_FAILED
        assert result.remark.startswith("the body does not say what was bought")


async def test_while_goods_are_away_nothing_is_put_in_and_it_is_said_so(tmp_path: Path) -> None:
    async with open_shop(tmp_path, peer_goods=f"{LOOPBACK}:{free_port()}") as shop:
        with pytest.raises(DomainError) as refusal:
            await shop.put("5")
        assert refusal.value.code is grpc.StatusCode.UNAVAILABLE
        assert await shop.process.rows(tables.cart_line) == []
