"""Never more than so much in any window of so many seconds, and first come, first served.

For a vendor that counts calls, or what calls carry, in windows and refuses what is over: the limit is kept on our side,
so that nothing is refused there. A bucket that refills evenly keeps it; a count that starts anew each second would let
two seconds' worth through around its turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from mesh.provider.rate_limit import ROUNDING, ThrottledError

AmountT = TypeVar("AmountT", int, float)

BURST_SHARE: Final = 0.02
"""Share of a window's amount that may leave at once after a pause."""

JITTER_SECONDS: Final = 0.1
"""By how much calls may come closer together on their way: the vendor counts when they arrive, not when they leave."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `amount_max` in any `seconds`, of which one call takes `call_amount_max` at most."""

    amount_max: int
    seconds: float
    call_amount_max: int = 1

    def __post_init__(self) -> None:
        if self.amount_max < 2 * self.call_amount_max:
            raise ValueError(f"a window of {self.amount_max} is too small for calls of {self.call_amount_max}")

    @property
    def burst(self) -> float:
        """How much may leave at once."""
        return max(float(self.call_amount_max), self.amount_max * BURST_SHARE)

    @property
    def per_second(self) -> float:
        """How fast it refills: a burst and what refills within the window and the jitter make `amount_max`."""
        return (self.amount_max - self.burst) / (self.seconds + JITTER_SECONDS)


@dataclass(slots=True, eq=False)
class _Taker:
    amounts: Sequence[int]
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class WindowLimit:
    """Gives turns in the order in which they were asked for, each when all windows have room for it.

    `amounts` are always one for each window, in their order: 1 to the window's `call_amount_max`.
    """

    def __init__(self, windows: Sequence[Window], clock: Callable[[], float] = time.monotonic) -> None:
        self._windows = tuple(windows)
        self._clock = clock
        self._levels = [window.burst for window in windows]
        self._filled_at = clock()
        self._takers: deque[_Taker] = deque()
        self._wanted = [0] * len(self._windows)
        self._timer: asyncio.TimerHandle | None = None

    def wait_seconds(self, *amounts: int) -> float:
        """Estimate the wait of a taker that came now: what those before it take counts too."""
        self._fill()
        return self._until([wanted + amount for wanted, amount in zip(self._wanted, amounts, strict=True)])

    async def take(self, *amounts: int) -> None:
        """Wait for a turn and take it. A cancelled taker takes nothing."""
        if self.wait_seconds(*amounts) == 0.0:
            self._levels = _added(self._levels, amounts, -1)
            return
        taker = _Taker(amounts)
        self._takers.append(taker)
        self._wanted = _added(self._wanted, amounts, +1)
        self._serve()
        try:
            await taker.turn
        except asyncio.CancelledError:
            if not taker.turn.cancelled():
                self._levels = _added(self._levels, amounts, +1)
            elif taker in self._takers:
                self._takers.remove(taker)
                self._wanted = _added(self._wanted, amounts, -1)
            self._serve()
            raise

    def _fill(self) -> None:
        now = self._clock()
        passed_seconds, self._filled_at = now - self._filled_at, now
        self._levels = [
            min(window.burst, level + passed_seconds * window.per_second)
            for window, level in zip(self._windows, self._levels, strict=True)
        ]

    def _until(self, amounts: Sequence[int]) -> float:
        """How long until every window has so much."""
        waits = (
            (amount - level) / window.per_second
            for window, level, amount in zip(self._windows, self._levels, amounts, strict=True)
            if amount - level > ROUNDING
        )
        return max(waits, default=0.0)

    def _serve(self) -> None:
        """Give turns to the first takers as long as there is room, and come back when there is room for the next."""
        self._fill()
        while self._takers and (self._takers[0].turn.done() or self._until(self._takers[0].amounts) == 0.0):
            taker = self._takers.popleft()
            self._wanted = _added(self._wanted, taker.amounts, -1)
            # A taker can have been cancelled without its task having run since.
            if not taker.turn.done():
                self._levels = _added(self._levels, taker.amounts, -1)
                taker.turn.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._takers:
            wait_seconds = self._until(self._takers[0].amounts)
            self._timer = asyncio.get_running_loop().call_later(wait_seconds, self._serve)


def _added(sums: Sequence[AmountT], amounts: Sequence[int], sign: int) -> list[AmountT]:
    return [total + sign * amount for total, amount in zip(sums, amounts, strict=True)]


class Lane:
    """Admits calls of one kind: in order, at most `calls_max` at once, within its limit, each after a bounded wait."""

    def __init__(self, limit: WindowLimit, *, calls_max: int, wait_seconds_max: float, waiting_max: int) -> None:
        self._limit = limit
        self._slots = asyncio.Semaphore(calls_max)
        self._wait_seconds_max = wait_seconds_max
        self._waiting_max = waiting_max
        self._waiting = 0

    @asynccontextmanager
    async def admit(self, *amounts: int) -> AsyncIterator[None]:
        """Hold a turn for the time of a call.

        Raises:
            ThrottledError: there is no turn in time, or too many calls wait already.

        """
        wait_seconds = self._limit.wait_seconds(*amounts)
        if wait_seconds > self._wait_seconds_max or self._waiting >= self._waiting_max:
            raise ThrottledError(max(wait_seconds, self._wait_seconds_max))
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds_max):
                await self._enter(amounts)
        except TimeoutError:
            raise ThrottledError(self._wait_seconds_max) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def _enter(self, amounts: Sequence[int]) -> None:
        """Take the slot, then the turn: a turn taken first could leave much later, together with others."""
        await self._slots.acquire()
        try:
            await self._limit.take(*amounts)
        except BaseException:
            self._slots.release()
            raise
