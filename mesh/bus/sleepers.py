"""Waiting until queues have work: looking again when woken, and at the latest when the last look said so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from mesh.waiting import set_within

Look: TypeAlias = Callable[[], Awaitable[tuple[set[str], float]]]
"""Answers the queues that have work, and in how many seconds to look again if there are none."""


@dataclass(eq=False, slots=True)
class _Sleeper:
    """Someone who waits."""

    prefixes: tuple[str, ...]
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Sleepers:
    """All who wait on one bus."""

    def __init__(self) -> None:
        self._sleepers: set[_Sleeper] = set()

    async def wait(self, prefixes: tuple[str, ...], timeout_seconds: float, look: Look) -> set[str]:
        """Look until queues have work, and name them; none on time-out."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        with self._sleeper(prefixes) as sleeper:
            while True:
                sleeper.woken.clear()
                ready, pause_seconds = await look()
                remaining = deadline - clock()
                if ready or remaining <= 0:
                    return ready
                await set_within(sleeper.woken, min(remaining, pause_seconds))

    def wake(self, queue: str | None) -> None:
        """Wake those who wait for a queue; None: all."""
        for sleeper in self._sleepers:
            if queue is None or queue.startswith(sleeper.prefixes):
                sleeper.woken.set()

    @contextmanager
    def _sleeper(self, prefixes: tuple[str, ...]) -> Iterator[_Sleeper]:
        sleeper = _Sleeper(prefixes)
        self._sleepers.add(sleeper)
        try:
            yield sleeper
        finally:
            self._sleepers.discard(sleeper)
