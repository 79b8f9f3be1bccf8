"""Tencent's limits of frequency: calls of a command in a second, recipients of batches in a minute."""

import time
from collections import Counter, defaultdict
from functools import partial

from sandbox.json_http import JsonObject
from sandbox.txim.codes import Code, RefusalError
from sandbox.txim.windows import SlidingWindow

_SECOND_MS = 1000
_MINUTE_MS = 60_000


class Limits:
    """Admits calls and recipients while the windows behind them have room.

    What is refused takes no room, but is counted in the peaks, which tell how the caller behaves.
    """

    def __init__(self, calls_per_second: int, recipients_per_minute: int) -> None:
        """Take the calls of each command in any second, and the recipients of all batches in any minute."""
        self._calls_max = calls_per_second
        self._recipients_max = recipients_per_minute
        self._admitted: defaultdict[str, SlidingWindow] = defaultdict(partial(SlidingWindow, _SECOND_MS))
        self._arrived: defaultdict[str, SlidingWindow] = defaultdict(partial(SlidingWindow, _SECOND_MS))
        self._recipients = SlidingWindow(_MINUTE_MS)
        self._recipients_arrived = SlidingWindow(_MINUTE_MS)
        self._refused: Counter[str] = Counter()

    def admit_call(self, command: str) -> None:
        """Count a call, or refuse it with 60007."""
        at_ms = _monotonic_ms()
        self._arrived[command].add(at_ms)
        # Tencent allows half as many of this one.
        calls_max = self._calls_max // 2 if command == "multiaccount_import" else self._calls_max
        if self._admitted[command].total(at_ms) >= calls_max:
            self._refused["calls"] += 1
            raise RefusalError(Code.CALLS_TOO_FREQUENT)
        self._admitted[command].add(at_ms)

    def admit_recipients(self, recipients: int) -> None:
        """Count the recipients of a batch, or refuse all of them with 60011."""
        at_ms = _monotonic_ms()
        self._recipients_arrived.add(at_ms, recipients)
        if self._recipients.total(at_ms) + recipients > self._recipients_max:
            self._refused["recipients"] += 1
            raise RefusalError(Code.RECIPIENTS_TOO_FREQUENT)
        self._recipients.add(at_ms, recipients)

    def stats(self) -> JsonObject:
        """Return the refusals and the fullest windows, refused calls included."""
        return {
            "rate_refusals": {"calls": self._refused["calls"], "recipients": self._refused["recipients"]},
            "calls_per_second_peak": {command: window.peak for command, window in self._arrived.items()},
            "recipients_per_minute_peak": self._recipients_arrived.peak,
        }


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
