"""Bulk work of a process that waits while something hurried is under way, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class GivingWay:
    """Counts what is hurried, and has bulk work wait for a moment without any, `seconds_max` at most.

    Where all processors are busy, each call that somebody waits for is one more among those that nobody waits for: what
    is not begun meanwhile is not in its way.
    """

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._hurried = 0
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Have bulk work wait for the block."""
        self._hurried += 1
        self._is_quiet.clear()
        try:
            yield
        finally:
            self._hurried -= 1
            if not self._hurried:
                self._is_quiet.set()

    async def give_way(self) -> None:
        """Wait until nothing is hurried."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds_max):
                while self._hurried:
                    await self._is_quiet.wait()
                    # What has just ended one step may be about to begin its next one.
                    await asyncio.sleep(0)
