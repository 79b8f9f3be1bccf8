"""One at a time, and what somebody waits for goes before parts of something large."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PASSED_MAX = 8
"""Others that may go before a bulk waiter in a row: it waits longer, and not for ever."""


class HurriedFirst:
    """A lock with two lines. Within a line, first come, first served."""

    def __init__(self, wait_seconds_max: float) -> None:
        self._wait_seconds_max = wait_seconds_max
        self._hurried: deque[asyncio.Future[None]] = deque()
        self._bulk: deque[asyncio.Future[None]] = deque()
        self._is_held = False
        self._passed = 0

    @asynccontextmanager
    async def turn(self, *, bulk: bool = False) -> AsyncIterator[None]:
        """Hold the lock for the block. Raises TimeoutError when its turn does not come in time."""
        await self._acquire(self._bulk if bulk else self._hurried)
        try:
            yield
        finally:
            self._hand_over()

    async def _acquire(self, line: deque[asyncio.Future[None]]) -> None:
        if not self._is_held:
            self._is_held = True
            return
        waiter = asyncio.get_running_loop().create_future()
        line.append(waiter)
        try:
            async with asyncio.timeout(self._wait_seconds_max):
                await waiter
        except BaseException:
            if not waiter.cancelled():
                # The turn came just as the waiter left, and goes on to the next.
                self._hand_over()
            raise

    def _hand_over(self) -> None:
        """Give the lock to the next who still waits, directly: nobody who comes in between takes it."""
        while self._hurried or self._bulk:
            waiter = self._next_line().popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._is_held = False

    def _next_line(self) -> deque[asyncio.Future[None]]:
        if self._hurried and (not self._bulk or self._passed < PASSED_MAX):
            self._passed += bool(self._bulk)
            return self._hurried
        self._passed = 0
        return self._bulk
