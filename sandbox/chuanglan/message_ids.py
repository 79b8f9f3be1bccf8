"""msgIds of ChuangLan V1: seventeen digits, leading zeros included."""

import time
from collections.abc import Iterator

_DIGITS = 17
_MODULUS = 10**_DIGITS
# Odd and not a multiple of five, so that counting on never repeats an id, and large, so that ids look unordered.
_STRIDE = 61_803_398_874_989_491


def message_ids(start: int | None = None) -> Iterator[str]:
    """Yield ids without end. The count starts at the clock's microseconds: a restart repeats no id."""
    count = time.time_ns() // 1000 if start is None else start
    while True:
        yield f"{count * _STRIDE % _MODULUS:0{_DIGITS}}"
        count += 1
