"""The daily reconciliation: a day's payments and refunds here against the statement of each channel."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import sqlalchemy.exc

from mesh import pages, telemetry
from mesh.database import Database
from mesh.errors import invalid_field
from mesh.statements import IN_MAX
from order_rpc.payment import differences, refund_storage, refusals, storage
from order_rpc.payment.channels.port import ChannelError, Channels
from order_rpc.payment.comparison import (
    MADE,
    PAID,
    Entries,
    Entry,
    EntryKind,
    Reconciliation,
    by_key,
    compare,
    day_range_ms,
    last_settled_day,
)
from order_rpc.payment.differences import FoundDifference
from order_rpc.payment.domain import Payment, Refund, RefundStatus

_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_PAGE = 1000

Row = TypeVar("Row")

log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class DayResult:
    """What comparing a day came to with all channels, now or before."""

    day: date
    compared_count: int
    difference_count: int


@dataclass(frozen=True, slots=True)
class DifferencePage:
    differences: Sequence[FoundDifference]
    reconciled_channels: Sequence[str]
    next_page_token: str


class Reconciling:
    """Compares days, each once a channel. A channel that cannot be asked now leaves the others their turn."""

    def __init__(self, database: Database, channels: Channels) -> None:
        self._database = database
        self._channels = channels

    async def reconcile(self, wanted: str) -> DayResult:
        """Compare a day, empty: the last that is over, with the channels that it was not yet compared with.

        Raises INVALID_REQUEST for a day that is not over, PAYMENT_CHANNEL_UNAVAILABLE without a statement.
        """
        async with self._database.read() as connection:
            last = last_settled_day(await self._database.now_ms(connection))
            day = read_day(wanted, "date") if wanted else last
            if day > last:
                raise invalid_field("date", f"is not over; the last day that can be compared is {last}")
            done = await differences.read_reconciliations(connection, day)
        unavailable = ""
        for channel in self._channels:
            if channel in done:
                continue
            try:
                done[channel] = await self._reconcile_one(day, channel)
            except ChannelError as error:
                log.warning("not reconciled", day=str(day), channel=channel, error=str(error))
                unavailable = unavailable or channel
        if unavailable:
            raise refusals.channel_unavailable(unavailable)
        return DayResult(
            day,
            sum(one.compared_count for one in done.values()),
            sum(one.difference_count for one in done.values()),
        )

    async def _reconcile_one(self, day: date, channel: str) -> Reconciliation:
        theirs = by_key(await self._channels.of(channel).statement(day))
        ours = {**await self._ours(day, channel), **await self._named(channel, theirs)}
        found = list(compare(ours, theirs))
        done = Reconciliation(day, channel, len(ours.keys() | theirs.keys()), len(found))
        try:
            async with self._database.write() as connection:
                now_ms = await self._database.now_ms(connection)
                await differences.insert_reconciliation(connection, done, found, now_ms)
        except sqlalchemy.exc.IntegrityError:
            async with self._database.read() as connection:
                first = (await differences.read_reconciliations(connection, day)).get(channel)
            if first is None:
                raise
            return first
        report = log.error if found else log.info
        report("reconciled", day=str(day), channel=channel, compared=done.compared_count, differences=len(found))
        return done

    async def _ours(self, day: date, channel: str) -> Entries:
        """What was paid and paid back on a day, by the channel's clock."""

        async def paid(after: tuple[int, int]) -> Sequence[Payment]:
            async with self._database.read() as connection:
                return await storage.read_paid_between(connection, channel, day_range_ms(day), after, _PAGE)

        async def made(after: tuple[int, int]) -> Sequence[Refund]:
            async with self._database.read() as connection:
                return await refund_storage.read_made_between(connection, channel, day_range_ms(day), after, _PAGE)

        payments = await _all(paid, lambda payment: (payment.pay_time_ms, payment.pay_id))
        refunds = await _all(made, lambda refund: (refund.refund_time_ms, refund.refund_id))
        return by_key([*map(_of_payment, payments), *map(_of_refund, refunds)])

    async def _named(self, channel: str, theirs: Entries) -> Entries:
        """What the channel's statement names, wherever it stands here."""
        found: list[Entry] = []
        for kind in EntryKind:
            numbers = [int(number) for of, number in theirs if of is kind and _NUMBER.fullmatch(number)]
            for start in range(0, len(numbers), IN_MAX):
                found += await self._read_named(channel, kind, numbers[start : start + IN_MAX])
        return by_key(found)

    async def _read_named(self, channel: str, kind: EntryKind, numbers: Sequence[int]) -> list[Entry]:
        async with self._database.read() as connection:
            if kind is EntryKind.PAYMENT:
                payments = await storage.read_payments_by_id(connection, numbers)
                return [_of_payment(payment) for payment in payments if payment.channel == channel]
            refunds = await refund_storage.read_refunds_by_id(connection, numbers)
            return [_of_refund(refund) for refund in refunds if refund.channel == channel]

    async def list(self, date_text: str, page: pages.PageRequest) -> DifferencePage:
        """Read a page of a day's differences. Raises INVALID_REQUEST."""
        day, after = read_day(date_text, "date"), page.after(1)
        async with self._database.read() as connection:
            found = await differences.list_differences(connection, day, after[0] if after else None, page.size + 1)
            channels = list(await differences.read_reconciliations(connection, day))
        kept, token = pages.cut(found, page.size, lambda one: (one.difference_id,))
        return DifferencePage(kept, channels, token)


def read_day(text: str, field: str) -> date:
    """Read a day as YYYY-MM-DD. Raises INVALID_REQUEST."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise invalid_field(field, "must be a day as YYYY-MM-DD") from None


async def _all(
    read: Callable[[tuple[int, int]], Awaitable[Sequence[Row]]], position: Callable[[Row], tuple[int, int]]
) -> list[Row]:
    """Read page after page, each in a transaction of its own."""
    rows: list[Row] = []
    while len(page := await read(position(rows[-1]) if rows else (0, 0))) == _PAGE:
        rows += page
    return [*rows, *page]


def _of_payment(payment: Payment) -> Entry:
    status = PAID if payment.is_paid else payment.status.value
    return Entry(EntryKind.PAYMENT, str(payment.pay_id), payment.pay_amount_fen, status)


def _of_refund(refund: Refund) -> Entry:
    status = MADE if refund.status is RefundStatus.MADE else refund.status.value
    return Entry(EntryKind.REFUND, str(refund.refund_id), refund.amount_fen, status)
