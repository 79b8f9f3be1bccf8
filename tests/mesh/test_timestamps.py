from __future__ import annotations

import pytest

from mesh.timestamps import by_our_clock, to_timestamp

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


@pytest.mark.parametrize("ahead_ms", [0, HOUR_MS, -HOUR_MS, 1])
@pytest.mark.parametrize("left_ms", [600_000, 0, -1500])
def test_what_is_left_until_a_moment_is_the_same_by_each_clock(ahead_ms: int, left_ms: int) -> None:
    theirs_ms = NOW_MS + ahead_ms
    moment, their_now = to_timestamp(theirs_ms + left_ms), to_timestamp(theirs_ms)
    assert moment is not None
    assert their_now is not None
    assert by_our_clock(moment, their_now, NOW_MS) - NOW_MS == left_ms
