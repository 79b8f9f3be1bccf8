"""The real time, where a test has no use for its own."""

from __future__ import annotations

import time

from tests.sms_rpc.control import Clock


class RunningClock(Clock):
    """Real time, in the place of the test's."""

    def __init__(self) -> None:
        """Hold nothing."""

    @property
    def now_ms(self) -> int:  # type: ignore[override]  # nobody sets it
        return time.time_ns() // 1_000_000
