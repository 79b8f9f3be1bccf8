"""The closed load: so many callers, so many times."""

from __future__ import annotations

import asyncio

import pytest

from bench.rate import rate


async def test_it_is_done_so_many_times_by_so_many_at_once() -> None:
    done = at_once = at_once_max = 0

    async def do() -> None:
        nonlocal done, at_once, at_once_max
        at_once += 1
        at_once_max = max(at_once_max, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        done += 1

    assert await rate(do, callers=4, times=10) > 0
    assert (done, at_once, at_once_max) == (10, 0, 4)


async def test_the_rate_is_a_second() -> None:
    async def do() -> None:
        await asyncio.sleep(0.05)

    # No sleep is shorter than it was asked to be.
    assert await rate(do, callers=2, times=4) <= 40


async def test_a_failure_ends_the_measurement() -> None:
    done = 0

    async def do() -> None:
        nonlocal done
        done += 1
        if done == 3:
            raise RuntimeError("refused")
        await asyncio.sleep(0)

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await rate(do, callers=1, times=10)
    assert done == 3
