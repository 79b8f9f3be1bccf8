"""A time of each day in which nothing is spoken or shown. Pure: the standard library."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

TIME_ZONE_DEFAULT = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From the minute `start` to the minute before `end`, both HH:MM, on the clock on the wall of `time_zone`.

    It may go past midnight. Where the clock is put forward or back, what the wall shows at a moment decides about it.
    """

    start: str
    end: str
    time_zone: str = ""
    """As IANA names it; empty is Asia/Shanghai."""

    def contains(self, at_ms: int) -> bool:
        """Tell whether a moment, in milliseconds since 1970 UTC, is quiet."""
        wall = datetime.fromtimestamp(at_ms // 1000, ZoneInfo(self.time_zone or TIME_ZONE_DEFAULT)).strftime("%H:%M")
        if self.start < self.end:
            return self.start <= wall < self.end
        return wall >= self.start or wall < self.end


def is_time_zone(name: str) -> bool:
    """Tell whether IANA knows a time zone by this name."""
    return name in _time_zones()


@cache
def _time_zones() -> frozenset[str]:
    # Some machines list their own clock among the names: each process would read another time from it.
    return frozenset(available_timezones()) - {"localtime"}
