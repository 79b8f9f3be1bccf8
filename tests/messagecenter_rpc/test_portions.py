from __future__ import annotations

import pytest

from messagecenter_rpc.storage import RECORDS_AT_ONCE, portions


@pytest.mark.parametrize(
    ("counts", "cut"),
    [
        ([], []),
        ([RECORDS_AT_ONCE + 1], [[RECORDS_AT_ONCE + 1]]),
        ([RECORDS_AT_ONCE - 1, 1, 1], [[RECORDS_AT_ONCE - 1, 1], [1]]),
        ([1, RECORDS_AT_ONCE, 1], [[1], [RECORDS_AT_ONCE], [1]]),
    ],
)
def test_a_portion_has_a_bounded_count_of_records_or_is_one_item(counts: list[int], cut: list[list[int]]) -> None:
    assert list(portions(counts, lambda count: count)) == cut
