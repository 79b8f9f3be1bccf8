from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.ids import IdAllocator, id_block_table

metadata = sa.MetaData()
id_block = id_block_table(metadata)


class WrongClock(Database):
    """A database whose clock is wrong by so much."""

    wrong_by_ms = 0

    async def now_ms(self, connection: AsyncConnection) -> int:
        return await super().now_ms(connection) + self.wrong_by_ms


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[WrongClock]:
    made = WrongClock(f"sqlite:///{tmp_path}/ids.db")
    async with made.write() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(sa.insert(id_block).values(id=1, next_id=0))
    yield made
    await made.close()


async def run_of(ids: IdAllocator, count: int) -> range:
    first = await ids.allocate(count)
    return range(first, first + count)


def are_distinct(runs: list[range]) -> bool:
    ordered = sorted(runs, key=lambda run: run.start)
    return all(earlier.stop <= later.start for earlier, later in itertools.pairwise(ordered))


async def test_ids_of_two_allocators_at_once_are_distinct_and_grow(database: WrongClock) -> None:
    chance = random.Random(7)  # noqa: S311  # a test that can be repeated
    allocators = [IdAllocator(database, id_block), IdAllocator(database, id_block)]

    async def take(ids: IdAllocator) -> list[range]:
        return [await run_of(ids, chance.choice([1, 3, 500, 4096, 10_000])) for _ in range(60)]

    runs = await asyncio.gather(*(take(ids) for ids in allocators))
    assert are_distinct([run for some in runs for run in some])
    assert all(are_distinct(some) and some == sorted(some, key=lambda run: run.start) for some in runs)


async def test_callers_of_one_allocator_do_not_share_ids(database: WrongClock) -> None:
    ids = IdAllocator(database, id_block)
    assert are_distinct(await asyncio.gather(*(run_of(ids, number) for number in range(1, 200))))


async def test_a_run_may_be_larger_than_a_block(database: WrongClock) -> None:
    ids = IdAllocator(database, id_block)
    runs = [await run_of(ids, 1_000_000), await run_of(ids, 1), await run_of(ids, 1_000_000)]
    assert are_distinct(runs)
    assert runs[2].stop < 1 << 53, "every consumer of JSON reads them exactly"


async def test_ids_grow_when_the_clock_goes_back(database: WrongClock) -> None:
    database.wrong_by_ms = 3_600_000
    before = await IdAllocator(database, id_block).allocate(1)
    database.wrong_by_ms = -3_600_000
    assert await IdAllocator(database, id_block).allocate(1) > before


async def test_ids_of_later_times_are_larger_whoever_allocates_them(database: WrongClock) -> None:
    first, second = IdAllocator(database, id_block), IdAllocator(database, id_block)
    earlier = await first.allocate(1)
    database.wrong_by_ms = 2_000
    assert await second.allocate(1) > earlier + (1_900 << 12)


async def test_an_old_block_is_not_used_up_later(database: WrongClock) -> None:
    """Else an id given today would sort among those of yesterday."""
    ids = IdAllocator(database, id_block)
    earlier = await ids.allocate(1)
    ids._taken_at_seconds -= 2
    database.wrong_by_ms = 2_000
    assert await ids.allocate(1) > earlier + (1_900 << 12)


async def test_a_cancelled_caller_leaves_the_allocator_usable(database: WrongClock) -> None:
    ids = IdAllocator(database, id_block)
    callers = [asyncio.create_task(ids.allocate(5000)) for _ in range(10)]
    await asyncio.sleep(0.002)
    for caller in callers[::2]:
        caller.cancel()
    answered = [first for first in await asyncio.gather(*callers, return_exceptions=True) if isinstance(first, int)]
    assert len(answered) >= 5
    assert are_distinct([range(first, first + 5000) for first in [*answered, await ids.allocate(5000)]])


async def test_ids_within_a_transaction_are_distinct_from_those_of_blocks(database: WrongClock) -> None:
    ids, other = IdAllocator(database, id_block), IdAllocator(database, id_block)
    runs = [await run_of(ids, 3)]
    for _ in range(3):
        async with database.write() as connection:
            first = await other.allocate_within(connection, 2)
        runs += [range(first, first + 2), await run_of(ids, 5_000), await run_of(other, 1)]
    assert are_distinct(runs)
