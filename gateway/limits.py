"""What bounds the work that callers can ask for. All figures are per process."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.refusals import overloaded, rate_limited, too_many_at_once


class TokenBuckets:
    """A token bucket for each key: `per_second` requests in the long run, `burst` of them at once.

    A bucket that is not remembered is full, so the least recently used may be forgotten.
    """

    def __init__(
        self,
        per_second: float,
        burst: int,
        *,
        buckets_max: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets_max = buckets_max
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key_id: str) -> None:
        """Take one token. Raises RATE_LIMITED with the time until there is one."""
        now = self._clock()
        tokens, filled_at = self._buckets.get(key_id, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - filled_at) * self._per_second)
        is_refused = tokens < 1
        # Who is refused is remembered too: else others would have its empty bucket forgotten, and it would be full.
        self._buckets[key_id] = (tokens if is_refused else tokens - 1, now)
        self._buckets.move_to_end(key_id)
        if len(self._buckets) > self._buckets_max:
            self._buckets.popitem(last=False)
        if is_refused:
            raise rate_limited((1 - tokens) / self._per_second)


class Budget:
    """An amount that all requests share: places, or bytes of bodies in memory. Nobody waits for it."""

    def __init__(self, name: str, amount: int) -> None:
        self._name = name
        self._left = amount

    @contextmanager
    def hold(self, amount: int = 0) -> Iterator[Hold]:
        """Hold a part of it until the end of the block. Raises OVERLOADED when not so much is left."""
        hold = Hold(self)
        try:
            hold.add(amount)
            yield hold
        finally:
            self._left += hold.amount

    def take(self, amount: int) -> None:
        """Take a part for good. Raises OVERLOADED."""
        if amount > self._left:
            raise overloaded(self._name)
        self._left -= amount


class Hold:
    """What one request holds of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.amount = 0

    def add(self, amount: int) -> None:
        """Hold more. Raises OVERLOADED."""
        self._budget.take(amount)
        self.amount += amount


class Shares:
    """Places that all callers share, and of which each caller has so many at most. Nobody waits for one."""

    def __init__(self, name: str, places: int) -> None:
        self._name = name
        self._places = Budget(name, places)
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, caller: str, places_max: int) -> Iterator[None]:
        """Hold a place until the end of the block. Raises RATE_LIMITED for the caller's share, OVERLOADED for all."""
        if self._held[caller] >= places_max:
            raise too_many_at_once(self._name, places_max)
        with self._places.hold(1):
            self._held[caller] += 1
            try:
                yield
            finally:
                self._held[caller] -= 1
                if not self._held[caller]:
                    del self._held[caller]
