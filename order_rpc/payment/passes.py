"""One pass over what is due at channels: some at once, and no more begun when it has taken its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sized
from typing import Any

AT_ONCE = 8
SECONDS_MAX = 10.0
"""After this nothing more is begun: with the calls under way a pass ends well before its caller gives up."""


class Pass:
    """Counts what a pass has taken and what it came to."""

    def __init__(self, items_max: int) -> None:
        self._left = items_max
        self._ends_at = time.monotonic() + SECONDS_MAX
        self.succeeded = 0

    def next_limit(self) -> int:
        """How many are to be taken next; 0 ends the pass."""
        return 0 if time.monotonic() > self._ends_at else min(self._left, AT_ONCE)

    async def gather(self, calls: Iterable[Coroutine[Any, Any, bool]]) -> list[bool]:
        """Make calls at once. Raises what the first of them raised that failed, once all are over."""
        # Not a TaskGroup: its group of errors would hide that a database is away, and end the calls beside.
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome is True for outcome in outcomes]

    def count(self, taken: Sized, outcomes: Iterable[bool]) -> None:
        """Note what was taken, and which of it succeeded."""
        self._left -= len(taken)
        self.succeeded += sum(outcomes)
