from __future__ import annotations

import asyncio
import time

from mesh.giving_way import GivingWay
from mesh.testing import eventually

LONG_SECONDS = 30


async def test_bulk_goes_at_once_where_nothing_is_hurried() -> None:
    await asyncio.wait_for(GivingWay(LONG_SECONDS, beside_hurried_max=1).give_way(), 1)


async def test_bulk_waits_for_all_that_is_hurried() -> None:
    giving_way = GivingWay(LONG_SECONDS, beside_hurried_max=1)
    with giving_way.hurried():
        with giving_way.hurried():
            bulk = asyncio.create_task(giving_way.give_way())
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert not bulk.done()
    await asyncio.wait_for(bulk, 1)


async def test_bulk_does_not_begin_between_two_steps_of_what_is_hurried() -> None:
    giving_way = GivingWay(LONG_SECONDS, beside_hurried_max=1)
    with giving_way.hurried():
        bulk = asyncio.create_task(giving_way.give_way())
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    with giving_way.hurried():
        await asyncio.sleep(0.01)
        assert not bulk.done()
    await asyncio.wait_for(bulk, 1)


async def test_bulk_waits_so_long_and_no_longer() -> None:
    giving_way = GivingWay(0.02, beside_hurried_max=1)
    began_at = time.monotonic()
    with giving_way.hurried():
        await asyncio.wait_for(giving_way.give_way(), 5)
    assert time.monotonic() - began_at >= 0.02


async def test_of_one_kind_so_much_goes_on_beside_what_is_hurried() -> None:
    giving_way = GivingWay(0, beside_hurried_max=2, quiet_seconds=LONG_SECONDS)
    work = Work(giving_way)
    with giving_way.hurried():
        pass
    tasks = [work.begin("campaign") for _ in range(4)] + [work.begin("other")]
    await work.stand_still()
    assert work.under_way == ["campaign", "campaign", "other"]
    work.end_one("campaign")
    await work.stand_still()
    assert work.under_way == ["campaign", "other", "campaign"]
    for kind in ("campaign", "campaign", "campaign", "other"):
        work.end_one(kind)
        await work.stand_still()
    await asyncio.wait_for(asyncio.gather(*tasks), 1)


async def test_all_goes_on_when_nothing_hurried_came_for_a_while() -> None:
    giving_way = GivingWay(0, beside_hurried_max=1, quiet_seconds=0.2)
    work = Work(giving_way)
    with giving_way.hurried():
        pass
    for _ in range(3):
        work.begin("campaign")
    await work.stand_still()
    assert len(work.under_way) == 1
    await eventually(lambda: len(work.under_way) == 3)
    work.begin("campaign")
    await work.stand_still()
    assert len(work.under_way) == 4
    await work.cancel()


async def test_bulk_waits_for_a_place_so_long_and_no_longer() -> None:
    giving_way = GivingWay(0, beside_hurried_max=1, quiet_seconds=LONG_SECONDS, place_seconds_max=0.2)
    work = Work(giving_way)
    with giving_way.hurried():
        for _ in range(2):
            work.begin("campaign")
        await work.stand_still()
        assert len(work.under_way) == 1
        await eventually(lambda: len(work.under_way) == 2)
    await work.cancel()


async def test_what_is_cancelled_leaves_its_place() -> None:
    giving_way = GivingWay(0, beside_hurried_max=1, quiet_seconds=LONG_SECONDS)
    work = Work(giving_way)
    with giving_way.hurried():
        pass
    first, waiting, _ = (work.begin("campaign") for _ in range(3))
    await work.stand_still()
    waiting.cancel()
    first.cancel()
    await eventually(lambda: work.begun == 2)
    assert work.under_way == ["campaign"]
    await work.cancel()


class Work:
    """Bulk work that goes on until it is ended."""

    def __init__(self, giving_way: GivingWay) -> None:
        self._giving_way = giving_way
        self._ends: list[tuple[str, asyncio.Event]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.begun = 0

    @property
    def under_way(self) -> list[str]:
        return [kind for kind, _ in self._ends]

    def begin(self, kind: str) -> asyncio.Task[None]:
        self._tasks.append(asyncio.create_task(self._run(kind)))
        return self._tasks[-1]

    def end_one(self, kind: str) -> None:
        next(end for one, end in self._ends if one == kind).set()

    async def stand_still(self) -> None:
        """Let everything go on that can."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, kind: str) -> None:
        async with self._giving_way.bulk(kind):
            self.begun += 1
            end = kind, asyncio.Event()
            self._ends.append(end)
            try:
                await end[1].wait()
            finally:
                self._ends.remove(end)
