"""How many a second: so many callers, each of which begins the next as soon as it has the answer (a closed load)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def rate(do: Callable[[], Awaitable[object]], *, callers: int, times: int) -> float:
    """Do it `times` times by so many callers; answer how often a second. The first failure ends it."""
    left = times

    async def call() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await do()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
    return times / (time.perf_counter() - began)
