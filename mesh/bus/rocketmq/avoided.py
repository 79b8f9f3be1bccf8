"""Brokers that did not answer, and are left alone for a while: name servers may take two minutes to drop one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

AVOIDED_SECONDS_FIRST = 5.0
AVOIDED_SECONDS_MAX = 30.0


class Avoided:
    """Which brokers to ask nothing at the moment. `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def add(self, broker: str) -> None:
        """Avoid a broker that failed: longer each time, and what fails meanwhile not counting."""
        now = self._clock()
        if self._until.get(broker, now) > now:
            return
        self._failures[broker] = self._failures.get(broker, 0) + 1
        self._until[broker] = now + min(
            AVOIDED_SECONDS_FIRST * 2.0 ** (self._failures[broker] - 1), AVOIDED_SECONDS_MAX
        )

    def trust(self, broker: str) -> None:
        """Note that a broker answered."""
        self._failures.pop(broker, None)

    def left_of(self, brokers: Mapping[str, str]) -> Mapping[str, str]:
        """Answer those of `brokers` that are not avoided, or all where there are no others."""
        now = self._clock()
        return {name: address for name, address in brokers.items() if self._until.get(name, now) <= now} or brokers
