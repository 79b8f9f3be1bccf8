"""Counting what happened within the last so many milliseconds."""

from collections import deque


class SlidingWindow:
    """Sums amounts over a window that ends now; what happened in the same millisecond is one entry.

    Both ends belong to the window: two calls exactly a second apart are within one second of each other.
    """

    def __init__(self, width_ms: int) -> None:
        """Take the width; at most that many entries, and one, are kept."""
        self._width_ms = width_ms
        self._entries: deque[tuple[int, int]] = deque()
        self._total = 0
        self.peak = 0

    def add(self, at_ms: int, amount: int = 1) -> None:
        """Add an amount; `at_ms` is never less than before."""
        self._drop_before(at_ms - self._width_ms)
        if self._entries and self._entries[-1][0] == at_ms:
            amount_before = self._entries.pop()[1]
            self._entries.append((at_ms, amount_before + amount))
        else:
            self._entries.append((at_ms, amount))
        self._total += amount
        self.peak = max(self.peak, self._total)

    def total(self, at_ms: int) -> int:
        """Return the sum over the window that ends at this time."""
        self._drop_before(at_ms - self._width_ms)
        return self._total

    def _drop_before(self, at_ms: int) -> None:
        while self._entries and self._entries[0][0] < at_ms:
            self._total -= self._entries.popleft()[1]
