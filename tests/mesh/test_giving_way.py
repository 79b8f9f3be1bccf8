from __future__ import annotations

import asyncio
import time

from mesh.giving_way import GivingWay

LONG_SECONDS = 30


async def test_bulk_goes_at_once_where_nothing_is_hurried() -> None:
    await asyncio.wait_for(GivingWay(LONG_SECONDS).give_way(), 1)


async def test_bulk_waits_for_all_that_is_hurried() -> None:
    giving_way = GivingWay(LONG_SECONDS)
    with giving_way.hurried():
        with giving_way.hurried():
            bulk = asyncio.create_task(giving_way.give_way())
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert not bulk.done()
    await asyncio.wait_for(bulk, 1)


async def test_bulk_does_not_begin_between_two_steps_of_what_is_hurried() -> None:
    giving_way = GivingWay(LONG_SECONDS)
    with giving_way.hurried():
        bulk = asyncio.create_task(giving_way.give_way())
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    with giving_way.hurried():
        await asyncio.sleep(0.01)
        assert not bulk.done()
    await asyncio.wait_for(bulk, 1)


async def test_bulk_waits_so_long_and_no_longer() -> None:
    giving_way = GivingWay(0.02)
    began_at = time.monotonic()
    with giving_way.hurried():
        await asyncio.wait_for(giving_way.give_way(), 5)
    assert time.monotonic() - began_at >= 0.02
