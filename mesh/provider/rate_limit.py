"""Who may call an account when: calls a second and calls at once, with two priorities.

Small and its own: aiolimiter and the like know one queue, where an advertising batch of a brand would stand before the
code that somebody waits for. Here bulk calls can never take the last of either: a reserved part is left to urgent ones.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum

BURST_SECONDS = 0.1
"""How many seconds' worth of calls may be made at once after a pause."""

ROUNDING = 1e-9
"""What a token may lack: the clock's arithmetic alone makes nobody wait for another timer."""


class Priority(Enum):
    """Whether somebody waits for the message."""

    URGENT = "urgent"
    BULK = "bulk"


class ThrottledError(Exception):
    """There is no turn within the time that a call may wait."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"no turn, try again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


class TokenBucket:
    """Gives out `per_second` tokens a second. Urgent takers come first; bulk takers leave `reserved` tokens lying.

    Bulk has the whole rate while nothing is urgent. While urgent calls use all of it, bulk waits; callers bound that.
    """

    def __init__(self, per_second: float, reserved_share: float, clock: Callable[[], float] = time.monotonic) -> None:
        burst = max(2.0, per_second * BURST_SECONDS)
        reserved = min(max(1.0, burst * reserved_share), burst - 1)
        self._per_second = per_second
        self._burst = burst
        self._needed = {Priority.URGENT: 1.0, Priority.BULK: 1.0 + reserved}
        self._clock = clock
        self._level = burst
        self._filled_at = clock()
        self._takers: dict[Priority, deque[asyncio.Future[None]]] = {Priority.URGENT: deque(), Priority.BULK: deque()}
        self._timer: asyncio.TimerHandle | None = None

    def wait_seconds(self, priority: Priority) -> float:
        """Estimate the wait of a taker that came now, if no urgent one comes after it."""
        self._fill()
        ahead = len(self._takers[Priority.URGENT])
        if priority is Priority.BULK:
            ahead += len(self._takers[Priority.BULK])
        missing = ahead + self._needed[priority] - self._level
        return missing / self._per_second if missing > ROUNDING else 0.0

    async def take(self, priority: Priority) -> None:
        """Wait for a token and take it. A cancelled taker takes none."""
        if self.wait_seconds(priority) == 0.0:
            self._level -= 1
            return
        taker = asyncio.get_running_loop().create_future()
        self._takers[priority].append(taker)
        self._arm()
        try:
            await taker
        except asyncio.CancelledError:
            if not taker.cancelled():
                self._level += 1
            elif taker in self._takers[priority]:
                self._takers[priority].remove(taker)
            self._serve()
            raise

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._filled_at) * self._per_second)
        self._filled_at = now

    def _next(self) -> Priority | None:
        return next((priority for priority in Priority if self._takers[priority]), None)

    def _serve(self) -> None:
        self._fill()
        while (priority := self._next()) is not None and self._level >= self._needed[priority] - ROUNDING:
            taker = self._takers[priority].popleft()
            # A taker can have been cancelled without its task having run since.
            if not taker.cancelled():
                self._level -= 1
                taker.set_result(None)
        self._arm()

    def _arm(self) -> None:
        """Wake up when the first taker's token is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        priority = self._next()
        if priority is not None:
            delay_seconds = max(0.0, (self._needed[priority] - self._level) / self._per_second)
            self._timer = asyncio.get_running_loop().call_later(delay_seconds, self._serve)


class Throttle:
    """Admits calls of one account: at most `calls_max` at once, so many a second, each after a bounded wait."""

    def __init__(
        self, bucket: TokenBucket, calls_max: int, reserved_share: float, wait_seconds_max: float, waiting_max: int
    ) -> None:
        reserved = min(max(1, round(calls_max * reserved_share)), calls_max - 1)
        calls, bulk_calls = asyncio.Semaphore(calls_max), asyncio.Semaphore(calls_max - reserved)
        self._slots = {Priority.URGENT: (calls,), Priority.BULK: (bulk_calls, calls)}
        self._bucket = bucket
        self._wait_seconds_max = wait_seconds_max
        self._waiting_max = waiting_max
        self._waiting = 0

    @asynccontextmanager
    async def admit(self, priority: Priority) -> AsyncIterator[None]:
        """Hold a turn for the time of a call.

        Raises:
            ThrottledError: there is no turn in time, or too many calls wait already.

        """
        wait_seconds = self._bucket.wait_seconds(priority)
        if wait_seconds > self._wait_seconds_max or self._waiting >= self._waiting_max:
            raise ThrottledError(max(wait_seconds, self._wait_seconds_max))
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds_max):
                turn = await self._enter(priority)
        except TimeoutError:
            raise ThrottledError(self._wait_seconds_max) from None
        finally:
            self._waiting -= 1
        async with turn:
            yield

    async def _enter(self, priority: Priority) -> AsyncExitStack:
        """Take the slots, then the token: a token taken first would be lost while waiting for a slot."""
        async with AsyncExitStack() as stack:
            for slots in self._slots[priority]:
                await stack.enter_async_context(slots)
            await self._bucket.take(priority)
            return stack.pop_all()
