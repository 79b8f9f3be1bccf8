"""Statements of every transaction, made once: to put one together takes longer than SQLite takes to run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from costcenter_rpc import tables

IN_MAX = 500
"""Values in one IN list: well below what any of the databases takes."""

Found = TypeVar("Found")


def _select_in(table: sa.Table, column: str) -> sa.Select[Any]:
    """Select the rows whose `column` is one of `wanted`."""
    return sa.select(table).where(table.c[column].in_(sa.bindparam("wanted", expanding=True)))


ACCOUNTS_TO_CHANGE = _select_in(tables.account, "brand_id").order_by(tables.account.c.brand_id).with_for_update()
OPEN_LOTS_OF_BRANDS = _select_in(tables.lot, "brand_id").where(tables.lot.c.is_open)
LOTS = _select_in(tables.lot, "lot_id")
REQUESTS = _select_in(tables.remembered_request, "key")
FREEZES = _select_in(tables.freeze, "freeze_id")
PAYMENTS = _select_in(tables.payment, "payment_id")
ALLOCATIONS_OF_PAYMENTS = _select_in(tables.allocation, "payment_id")
SETTLEMENTS_OF_MESSAGES = _select_in(tables.settlement, "message_id")


async def read_in(
    connection: AsyncConnection, statement: sa.Select[Any], values: Iterable[Any], build: Callable[[Any], Found]
) -> list[Found]:
    """Read the rows of one of the statements above, by IN lists of bounded length."""
    wanted = sorted(values)
    found: list[Found] = []
    for start in range(0, len(wanted), IN_MAX):
        rows = await connection.execute(statement, {"wanted": wanted[start : start + IN_MAX]})
        found.extend(build(row) for row in rows)
    return found
