"""How many records are under way at once: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Window:
    """Lets in `records_max` records at once, in groups. A larger group goes in alone.

    Not asyncio.Semaphore, because a group enters as a whole, and a small one never overtakes a large one: what is
    handed over keeps its order.
    """

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._records = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, records: int) -> None:
        """Wait for room. A cancelled wait takes none."""
        if not self._waiting and self._fits(records):
            self._records += records
            return
        place = (records, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        try:
            await place[1]
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not place[1].cancelled():
                self._records -= records
            self._let_in()
            raise

    def leave(self, records: int) -> None:
        """Give room back, of a group or of a part of it."""
        self._records -= records
        self._let_in()

    def _fits(self, records: int) -> bool:
        return self._records == 0 or self._records + records <= self._records_max

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            records, let_in = self._waiting.popleft()
            # Whoever waited can have been cancelled without its task having run since.
            if not let_in.cancelled():
                self._records += records
                let_in.set_result(None)
