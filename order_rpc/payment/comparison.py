"""Comparing a day's payments and refunds with a channel's statement of that day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum

CHINA = timezone(timedelta(hours=8))
"""Statements are of days in China, which has no summer time."""

SETTLED_AFTER = timedelta(minutes=30)
"""How long a day is over before it is compared: what was paid at midnight has been told of by then."""

DAY_MS = 86_400_000


class EntryKind(StrEnum):
    """What an entry is of."""

    PAYMENT = "payment"
    REFUND = "refund"


class DifferenceKind(StrEnum):
    """What is different."""

    MISSING_HERE = "MISSING_HERE"
    MISSING_THERE = "MISSING_THERE"
    AMOUNT = "AMOUNT"
    STATUS = "STATUS"


PAID = "PAID"
MADE = "MADE"
"""What both sides call a payment, and a refund, whose money moved."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A payment or refund as one side has it. `number` is our own; `status` is PAID or MADE, or what it is instead."""

    kind: EntryKind
    number: str
    amount_fen: int
    status: str

    @property
    def key(self) -> tuple[EntryKind, str]:
        return self.kind, self.number

    def __str__(self) -> str:
        return f"{self.kind} of {self.amount_fen} fen, {self.status}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that both sides do not agree on, in words for people."""

    kind: DifferenceKind
    number: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What comparing a day with a channel came to."""

    day: date
    channel: str
    compared_count: int
    difference_count: int


Entries = Mapping[tuple[EntryKind, str], Entry]


def by_key(entries: Iterable[Entry]) -> Entries:
    """Find entries by kind and number."""
    return {entry.key: entry for entry in entries}


def compare(ours: Entries, theirs: Entries) -> Iterator[Difference]:
    """Name what is different, in the order of the numbers."""
    for key in sorted(ours.keys() | theirs.keys()):
        yield from _compare_one(ours.get(key), theirs.get(key))


def _compare_one(ours: Entry | None, theirs: Entry | None) -> Iterator[Difference]:
    if ours is None:
        if theirs is not None:
            yield Difference(DifferenceKind.MISSING_HERE, theirs.number, "", str(theirs))
    elif theirs is None:
        yield Difference(DifferenceKind.MISSING_THERE, ours.number, str(ours), "")
    else:
        if ours.amount_fen != theirs.amount_fen:
            yield Difference(DifferenceKind.AMOUNT, ours.number, str(ours), str(theirs))
        if ours.status != theirs.status:
            yield Difference(DifferenceKind.STATUS, ours.number, str(ours), str(theirs))


def last_settled_day(now_ms: int) -> date:
    """Answer the last day that can be compared."""
    return (datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(CHINA) - SETTLED_AFTER).date() - timedelta(days=1)


def day_range_ms(day: date) -> tuple[int, int]:
    """Answer when a day begins, and when the next one does."""
    begin_ms = int(datetime(day.year, day.month, day.day, tzinfo=CHINA).timestamp() * 1000)
    return begin_ms, begin_ms + DAY_MS
