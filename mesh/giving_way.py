"""Bulk work of a process that waits while something hurried is under way, but not for ever."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

QUIET_SECONDS = 1.0
"""How long nothing hurried has come before bulk work has the process for itself."""

PLACE_SECONDS_MAX = 10.0
"""How long bulk work waits for a place. Who waited has less of its own time left: work that hangs must not take it."""


class GivingWay:
    """Counts what is hurried, and has bulk work wait for a moment without any, `seconds_max` at most.

    Where all processors are busy, each call that somebody waits for is one more among those that nobody waits for: what
    is not begun meanwhile is not in its way. For the same reason `beside_hurried_max` of one kind are worked on at once
    while hurried work comes, and as many as there are when it does not; one that found no place for
    `place_seconds_max` goes on without one.
    """

    def __init__(
        self,
        seconds_max: float,
        *,
        beside_hurried_max: int,
        quiet_seconds: float = QUIET_SECONDS,
        place_seconds_max: float = PLACE_SECONDS_MAX,
    ) -> None:
        self._seconds_max = seconds_max
        self._beside_hurried_max = beside_hurried_max
        self._quiet_seconds = quiet_seconds
        self._place_seconds_max = place_seconds_max
        self._hurried = 0
        self._hurried_at = -math.inf
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        self._under_way: Counter[str] = Counter()
        self._is_one_done = asyncio.Event()

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Have bulk work wait for the block."""
        self._hurried += 1
        self._is_quiet.clear()
        try:
            yield
        finally:
            self._hurried -= 1
            self._hurried_at = time.monotonic()
            if not self._hurried:
                self._is_quiet.set()

    @asynccontextmanager
    async def bulk(self, kind: str) -> AsyncIterator[None]:
        """Do bulk work of a kind in the block, once there is a place for it and nothing is hurried."""
        await self._wait_for_place(kind)
        self._under_way[kind] += 1
        try:
            await self.give_way()
            yield
        finally:
            self._under_way[kind] -= 1
            if not self._under_way[kind]:
                del self._under_way[kind]
            self._is_one_done.set()
            self._is_one_done = asyncio.Event()

    async def give_way(self) -> None:
        """Wait until nothing is hurried."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds_max):
                while self._hurried:
                    await self._is_quiet.wait()
                    # What has just ended one step may be about to begin its next one.
                    await asyncio.sleep(0)

    async def _wait_for_place(self, kind: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._place_seconds_max):
                while (
                    self._under_way[kind] >= self._beside_hurried_max and (seconds := self._seconds_until_quiet()) > 0
                ):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await self._is_one_done.wait()

    def _seconds_until_quiet(self) -> float:
        if self._hurried:
            return self._quiet_seconds
        return self._hurried_at + self._quiet_seconds - time.monotonic()
