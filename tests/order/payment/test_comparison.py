from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_rpc.payment.comparison import (
    CHINA,
    MADE,
    PAID,
    Difference,
    DifferenceKind,
    Entry,
    EntryKind,
    by_key,
    compare,
    day_range_ms,
    last_settled_day,
)

PAYMENT = Entry(EntryKind.PAYMENT, "11", 4_500, PAID)
REFUND = Entry(EntryKind.REFUND, "11", 500, MADE)


def compared(ours: list[Entry], theirs: list[Entry]) -> list[Difference]:
    return list(compare(by_key(ours), by_key(theirs)))


def test_what_is_the_same_is_no_difference() -> None:
    assert compared([PAYMENT, REFUND], [REFUND, PAYMENT]) == []


def test_a_payment_and_a_refund_of_one_number_are_two() -> None:
    assert [(one.kind, one.number) for one in compared([PAYMENT], [REFUND])] == [
        (DifferenceKind.MISSING_THERE, "11"),
        (DifferenceKind.MISSING_HERE, "11"),
    ]


def test_each_kind_is_told_with_both_sides() -> None:
    assert compared([], [PAYMENT]) == [Difference(DifferenceKind.MISSING_HERE, "11", "", "payment of 4500 fen, PAID")]
    assert compared([REFUND], []) == [Difference(DifferenceKind.MISSING_THERE, "11", "refund of 500 fen, MADE", "")]
    other = Entry(EntryKind.PAYMENT, "11", 4_501, "CLOSED")
    assert [one.kind for one in compared([PAYMENT], [other])] == [DifferenceKind.AMOUNT, DifferenceKind.STATUS]


ENTRIES = st.builds(
    Entry, st.sampled_from(EntryKind), st.sampled_from("123"), st.sampled_from([1, 2]), st.sampled_from([PAID, MADE])
)


@given(st.lists(ENTRIES), st.lists(ENTRIES))
def test_there_is_a_difference_exactly_where_the_sides_differ(ours: list[Entry], theirs: list[Entry]) -> None:
    one, other = by_key(ours), by_key(theirs)
    differing = {key[1] for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    assert {difference.number for difference in compare(one, other)} == differing


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-03-02T00:29:59", date(2026, 2, 28)),
        ("2026-03-02T00:30:00", date(2026, 3, 1)),
        ("2026-03-02T23:59:59", date(2026, 3, 1)),
    ],
)
def test_a_day_is_compared_when_it_is_over_for_half_an_hour_in_china(now: str, day: date) -> None:
    now_ms = int(datetime.fromisoformat(now).replace(tzinfo=CHINA).timestamp() * 1000)
    assert last_settled_day(now_ms) == day


def test_a_day_is_china_s() -> None:
    begin_ms, end_ms = day_range_ms(date(2026, 3, 2))
    assert end_ms - begin_ms == 86_400_000
    assert datetime.fromtimestamp(begin_ms / 1000, CHINA).isoformat() == "2026-03-02T00:00:00+08:00"
