"""What the sandbox sends of its own accord, at its time, again after failures, and within bounds."""

import asyncio
import heapq
import itertools
import logging
from typing import Protocol

_log = logging.getLogger(__name__)

# Deliveries due within this time leave together: one timer for many of them.
_TICK_SECONDS = 0.005


class Delivery(Protocol):
    """Something to be delivered, which knows how to try and whether to try again."""

    async def attempt(self) -> float | None:
        """Try once; return the seconds until the next attempt, or None when there is none."""

    def abandon(self) -> None:
        """Settle without another attempt, because the queue has no room for one."""


class DeliveryQueue:
    """Holds deliveries until they are due and attempts at most `workers` of them at once."""

    def __init__(self, workers: int, capacity: int) -> None:
        """Bound the attempts under way and the deliveries waiting for their time."""
        self._worker_count = workers
        self._capacity = capacity
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._order = itertools.count()
        self._due: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def pending(self) -> int:
        """Deliveries that are not under way yet."""
        return len(self._waiting) + self._due.qsize()

    def schedule(self, delivery: Delivery, delay_seconds: float) -> None:
        """Attempt the delivery after a delay, or abandon it at once when the queue is full or stopped."""
        if self._stopped or self.pending >= self._capacity:
            delivery.abandon()
            return
        due_at = asyncio.get_running_loop().time() + delay_seconds
        entry = (due_at, next(self._order), delivery)
        heapq.heappush(self._waiting, entry)
        # Of a call with a thousand receipts one alone can be the next to leave.
        if self._waiting[0] is entry:
            self._arm()

    async def run(self) -> None:
        """Deliver until `stop`."""
        async with asyncio.TaskGroup() as group:
            self._workers = [group.create_task(self._work()) for _ in range(self._worker_count)]

    async def stop(self, grace_seconds: float) -> None:
        """Drop what is not under way, let the rest finish within the grace, then break it off."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        dropped = self.pending
        self._waiting.clear()
        while not self._due.empty():
            self._due.get_nowait()
        for _ in self._workers:
            self._due.put_nowait(None)
        if dropped:
            _log.warning("stopping: dropped %d pending pushes", dropped)
        await self._finish_workers(grace_seconds)

    async def _finish_workers(self, grace_seconds: float) -> None:
        if not self._workers:
            return
        _, late = await asyncio.wait(self._workers, timeout=grace_seconds)
        for worker in late:
            worker.cancel()
        if late:
            _log.warning("stopping: broke off %d pushes after %.1f s", len(late), grace_seconds)

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        release_at = max(self._waiting[0][0], loop.time() + _TICK_SECONDS)
        if self._timer is not None:
            if self._timer.when() <= release_at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(release_at, self._release)

    def _release(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0][0] <= now:
            self._due.put_nowait(heapq.heappop(self._waiting)[2])
        if self._waiting:
            self._arm()

    async def _work(self) -> None:
        while (delivery := await self._due.get()) is not None:
            retry_seconds = await delivery.attempt()
            if retry_seconds is not None:
                self.schedule(delivery, retry_seconds)
