"""Orders take stock, and give it back when they are cancelled."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest

from brandmesh.goods.v1 import goods_pb2 as pb
from mesh.errors import DomainError
from order_rpc.goods import storage, tables
from order_rpc.goods.domain import RESERVATION_TRANSITIONS, Reservation, ReservationEvent, ReservationState
from order_rpc.goods.stock import Stock
from tests.order.goods.harness import BRAND, Store, open_store


class TestTaking:
    async def test_002_07_an_order_takes_its_stock_with_one_negative_log_row_each(self, store: Store) -> None:
        towels, soap = await store.create(10), await store.create(5)
        await store.take(42, (towels, 3), (soap, 5))
        assert await store.changes(towels) == [("42", -3), ("", 10)]
        assert await store.changes(soap) == [("42", -5), ("", 5)]
        assert await store.reservations() == {42: "TAKEN"}
        assert await store.prove_conservation() == {int(towels.goods_id): 7, int(soap.goods_id): 0}

    async def test_002_04_exactly_the_remaining_stock_can_be_bought(self, store: Store) -> None:
        goods = await store.create(3)
        await store.take(1, (goods, 2))
        await store.take(2, (goods, 1))
        assert await store.left(goods) == 0
        assert await store.try_take(3, (goods, 1)) == "STOCK_SHORT"

    async def test_002_04_one_more_than_there_is_is_refused_with_what_is_left(self, store: Store) -> None:
        goods = await store.create(3)
        with pytest.raises(DomainError, match="STOCK_SHORT") as refusal:
            await store.take(1, (goods, 4))
        assert refusal.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.value.metadata == {"goods_id": goods.goods_id, "goods_number": "3"}
        assert await store.reservations() == {}

    @pytest.mark.parametrize("number", [0, -1, -(1 << 62), 1_000_001])
    async def test_002_04_a_quantity_of_0_or_less_is_refused_by_its_field(self, store: Store, number: int) -> None:
        goods = await store.create(3)
        with pytest.raises(DomainError, match="INVALID_REQUEST") as refusal:
            await store.take(1, (goods, number))
        assert [one.field for one in refusal.value.violations] == ["lines[0].goods_number"]
        assert await store.reservations() == {}
        assert await store.prove_conservation() == {int(goods.goods_id): 3}

    async def test_no_lines_and_the_same_goods_twice_are_refused(self, store: Store) -> None:
        goods = await store.create(3)
        with pytest.raises(DomainError, match="lines"):
            await store.take(1)
        with pytest.raises(DomainError, match="lines: names some goods more than once"):
            await store.take(1, (goods, 1), (goods, 1))
        assert await store.left(goods) == 3

    async def test_an_order_takes_all_of_its_goods_or_none(self, store: Store) -> None:
        plenty, few, shelved = await store.create(10), await store.create(1), await store.create(10, on_sale=False)
        missing = pb.Goods(goods_id="5")
        assert await store.try_take(1, (plenty, 1), (few, 2)) == "STOCK_SHORT"
        assert await store.try_take(2, (plenty, 1), (shelved, 1)) == "GOODS_NOT_ON_SALE"
        assert await store.try_take(3, (plenty, 1), (missing, 1)) == "GOODS_NOT_FOUND"
        assert await store.reservations() == {}
        assert await store.left(plenty) == 10
        assert len(await store.process.rows(tables.stock_log)) == 3

    async def test_a_refused_order_may_try_again(self, store: Store) -> None:
        goods = await store.create(1)
        assert await store.try_take(1, (goods, 2)) == "STOCK_SHORT"
        await store.adjust(goods, 1)
        assert await store.try_take(1, (goods, 2)) == ""

    async def test_a_repeat_changes_nothing(self, store: Store) -> None:
        goods = await store.create(3)
        await store.take(1, (goods, 3))
        assert await asyncio.gather(*(store.try_take(1, (goods, 3)) for _ in range(5))) == [""] * 5
        assert await store.changes(goods) == [("1", -3), ("", 3)]


class TestConcurrency:
    async def test_002_04_ten_times_the_stock_in_orders_sells_the_stock(self, store: Store) -> None:
        goods = await store.create(20)
        outcomes = await asyncio.gather(*(store.try_take(order_id, (goods, 1)) for order_id in range(1, 201)))
        assert Counter(outcomes) == {"": 20, "STOCK_SHORT": 180}
        assert await store.prove_conservation() == {int(goods.goods_id): 0}
        assert len(await store.reservations()) == 20

    async def test_002_04_two_processes_never_oversell(self, store: Store, tmp_path: Path) -> None:
        async with open_store(tmp_path, database_url=store.process.settings.database_url) as other:
            goods = [await store.create(30) for _ in range(3)]
            orders = [(order_id, random.sample(goods, 2)) for order_id in range(1, 121)]
            outcomes = await asyncio.gather(
                *(
                    (store, other)[order_id % 2].try_take(order_id, *((one, 1) for one in some))
                    for order_id, some in orders
                )
            )
            assert set(outcomes) == {"", "STOCK_SHORT"}
            stocks = await store.prove_conservation()
            assert sum(stocks.values()) == 90 - 2 * Counter(outcomes)[""]
            # Who was refused wanted at least one of the goods that are gone.
            assert list(stocks.values()).count(0) >= 2
            assert len(await store.reservations()) == Counter(outcomes)[""]

    async def test_one_order_in_two_processes_takes_its_stock_once(self, store: Store, tmp_path: Path) -> None:
        async with open_store(tmp_path, database_url=store.process.settings.database_url) as other:
            goods = await store.create(100)
            for order_id in range(1, 11):
                calls = (one.try_take(order_id, (goods, 2)) for one in (store, other, store, other))
                assert set(await asyncio.gather(*calls)) == {""}
        assert await store.prove_conservation() == {int(goods.goods_id): 80}

    async def test_one_order_for_the_last_of_the_stock_is_refused_by_neither_process(
        self, store: Store, tmp_path: Path
    ) -> None:
        async with open_store(tmp_path, database_url=store.process.settings.database_url) as other:
            for order_id in range(1, 11):
                goods = await store.create(2)
                calls = (one.try_take(order_id, (goods, 2)) for one in (store, other, store, other))
                assert set(await asyncio.gather(*calls)) == {""}

    async def test_002_08_takes_cancels_and_adjustments_at_once_in_two_processes_conserve_the_stock(
        self, store: Store, tmp_path: Path
    ) -> None:
        async with open_store(tmp_path, database_url=store.process.settings.database_url) as other:
            other.message_ids = store.message_ids
            goods = [await store.create(50) for _ in range(4)]

            async def live(order_id: int) -> None:
                here, there = random.sample((store, other), 2)
                lines = [(one, 1 + order_id % 3) for one in random.sample(goods, 2)]
                await asyncio.gather(here.try_take(order_id, *lines), there.cancel(order_id))
                await there.cancel(order_id)

            await asyncio.gather(*(live(order_id) for order_id in range(1, 31)))
            await asyncio.gather(*(store.adjust(one, 7) for one in goods))
        assert set((await store.prove_conservation()).values()) == {57}
        assert set((await store.reservations()).values()) == {"RELEASED"}

    async def test_002_08_an_order_that_is_cancelled_while_it_waits_for_its_stock_waits_for_nobody_else(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        goods = await store.create(10)
        await store.take(1, (goods, 2))
        async with store.process.database.write() as connection:
            await storage.lock_goods(connection, [int(goods.goods_id)])
            taking = asyncio.create_task(store.try_take(2, (goods, 3)))
            await asyncio.wait([taking], timeout=0.3)  # for it to come to what is held, where it can
            cancelling = asyncio.create_task(store.cancel(2, 1))
            await asyncio.wait([cancelling], timeout=0.3)
        await cancelling
        assert await taking in {"", "STOCK_RELEASED"}
        assert await store.prove_conservation() == {int(goods.goods_id): 10}
        assert "database unavailable" not in capsys.readouterr().out

    async def test_a_caller_that_leaves_does_not_take_half(self, store: Store) -> None:
        goods = await store.create(5)
        async with aclosing(Stock(store.process.database)) as stock:
            wanted = Reservation(BRAND, 1, ((int(goods.goods_id), 2),))
            call = asyncio.create_task(stock.take(wanted))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert await store.prove_conservation() == {int(goods.goods_id): 3}
        assert await store.reservations() == {1: "TAKEN"}


class TestGivingBack:
    async def test_002_08_exactly_what_was_taken_is_given_back(self, store: Store) -> None:
        towels, soap = await store.create(10), await store.create(5)
        await store.take(1, (towels, 3), (soap, 5))
        await store.take(2, (towels, 2))
        await store.cancel(1)
        assert (await store.left(towels), await store.left(soap)) == (8, 5)
        assert await store.changes(towels) == [("1", 3), ("2", -2), ("1", -3), ("", 10)]
        assert await store.reservations() == {1: "RELEASED", 2: "TAKEN"}

    async def test_002_08_the_message_twice_gives_back_once(self, store: Store) -> None:
        goods = await store.create(10)
        await store.take(1, (goods, 3))
        await store.cancel(1, msg_ids=[5])
        await store.cancel(1, msg_ids=[5])
        await store.cancel(1, 1, msg_ids=[6, 7])
        assert await store.changes(goods) == [("1", 3), ("1", -3), ("", 10)]

    async def test_002_08_a_message_that_is_faster_than_the_order_keeps_it_from_the_stock(self, store: Store) -> None:
        goods = await store.create(10)
        await store.cancel(1)
        assert await store.reservations() == {1: "RELEASED"}
        with pytest.raises(DomainError, match="STOCK_RELEASED") as refusal:
            await store.take(1, (goods, 3))
        assert refusal.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert await store.changes(goods) == [("", 10)]

    async def test_002_08_what_was_never_taken_is_not_given_back(self, store: Store) -> None:
        goods = await store.create(2)
        assert await store.try_take(1, (goods, 3)) == "STOCK_SHORT"
        await store.cancel(1)
        assert await store.changes(goods) == [("", 2)]

    async def test_a_cancelled_order_takes_nothing_again(self, store: Store) -> None:
        goods = await store.create(10)
        await store.take(1, (goods, 3))
        await store.cancel(1)
        assert await store.try_take(1, (goods, 3)) == "STOCK_RELEASED"
        assert await store.left(goods) == 10

    async def test_stock_comes_back_though_the_goods_are_not_on_sale_any_more(self, store: Store) -> None:
        goods = await store.create(10)
        await store.take(1, (goods, 3))
        await store.update(goods, on_sale=False)
        await store.cancel(1)
        assert await store.left(goods) == 10

    async def test_many_orders_of_the_same_goods_in_one_call(self, store: Store) -> None:
        goods = await store.create(100)
        await asyncio.gather(*(store.take(order_id, (goods, 2)) for order_id in range(1, 31)))
        await store.cancel(*range(40, 10, -1))
        assert await store.prove_conservation() == {int(goods.goods_id): 80}


def test_every_pair_of_state_and_event_is_decided() -> None:
    pairs = {(state, event) for state in (None, *ReservationState) for event in ReservationEvent}
    assert pairs - RESERVATION_TRANSITIONS.keys() == {(ReservationState.RELEASED, ReservationEvent.TAKE)}
