"""Times as ChuangLan V1 writes them: digits only, in Beijing time."""

from datetime import datetime, timedelta, timezone
from functools import lru_cache

BEIJING = timezone(timedelta(hours=8))


def long_seconds(at_ms: int) -> str:
    """Write yyyyMMddHHmmss, as `time` of an answer."""
    return _format(at_ms // 1000, "%Y%m%d%H%M%S")


def short_seconds(at_ms: int) -> str:
    """Write yyMMddHHmmss, as `notifyTime`."""
    return _format(at_ms // 1000, "%y%m%d%H%M%S")


def short_minutes(at_ms: int) -> str:
    """Write yyMMddHHmm, as `reportTime` and `moTime`."""
    return _format(at_ms // 1000, "%y%m%d%H%M")


def parse_send_time(text: str) -> int:
    """Read yyyyMMddHHmm as milliseconds since the epoch.

    Raises:
        ValueError: not twelve digits, or no such minute.

    """
    if len(text) != len("yyyyMMddHHmm") or not (text.isascii() and text.isdigit()):
        raise ValueError("sendtime must be yyyyMMddHHmm")
    return int(datetime.strptime(text, "%Y%m%d%H%M").replace(tzinfo=BEIJING).timestamp() * 1000)


@lru_cache(maxsize=64)
def _format(at_seconds: int, pattern: str) -> str:
    return datetime.fromtimestamp(at_seconds, BEIJING).strftime(pattern)
