"""The queries of reconciliations and of the differences that they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import insert_rows
from order_rpc.payment import tables
from order_rpc.payment.comparison import Difference, DifferenceKind, Reconciliation

_TEXT_CHARACTERS_MAX = 200
_COLUMNS = ("day", "channel", "kind", "number", "ours", "theirs")


@dataclass(frozen=True, slots=True)
class FoundDifference:
    """A difference as it is kept: of which day and channel, and its place among them."""

    difference_id: int
    day: date
    channel: str
    difference: Difference


async def read_reconciliations(connection: AsyncConnection, day: date) -> dict[str, Reconciliation]:
    """Read what comparing a day came to, by channel."""
    table = tables.reconciliation
    statement = sa.select(table).where(table.c.day == day.isoformat()).order_by(table.c.channel)
    return {
        row.channel: Reconciliation(day, row.channel, row.compared_count, row.difference_count)
        for row in await connection.execute(statement)
    }


async def insert_reconciliation(
    connection: AsyncConnection, done: Reconciliation, differences: Sequence[Difference], now_ms: int
) -> None:
    """Write that a day was compared with a channel, and what was different.

    Raises IntegrityError when another process was first: then nothing of this is written.
    """
    row = {
        "day": done.day.isoformat(),
        "channel": done.channel,
        "compared_count": done.compared_count,
        "difference_count": done.difference_count,
        "create_time_ms": now_ms,
    }
    await connection.execute(sa.insert(tables.reconciliation).values(row))
    rows = [
        (
            done.day.isoformat(), done.channel, one.kind.value, one.number,
            one.ours[:_TEXT_CHARACTERS_MAX], one.theirs[:_TEXT_CHARACTERS_MAX],
        )
        for one in differences
    ]  # fmt: skip
    await insert_rows(connection, tables.difference, _COLUMNS, rows)


async def list_differences(
    connection: AsyncConnection, day: date, after_id: int | None, limit: int
) -> list[FoundDifference]:
    """Read the differences of a day, as they were found."""
    table = tables.difference
    statement = sa.select(table).where(table.c.day == day.isoformat()).order_by(table.c.difference_id).limit(limit)
    if after_id is not None:
        statement = statement.where(table.c.difference_id > after_id)
    return [
        FoundDifference(
            row.difference_id,
            day,
            row.channel,
            Difference(DifferenceKind(row.kind), row.number, row.ours, row.theirs),
        )
        for row in await connection.execute(statement)
    ]
