"""The queries of flash sales. Every function takes a connection whose transaction the caller opened.

Who changes a sale or its attempts locks the sale first, in the order of the ids: so its rows agree with each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import insert_rows, update_rows
from mesh.statements import read_in, select_in
from order_rpc.flash_sale.domain import HOLDING, Attempt, AttemptStatus, Buyer, FlashSale
from order_rpc.flash_sale.tables import attempt, flash_sale

_SALES = select_in(flash_sale, "flash_sale_id").order_by(flash_sale.c.flash_sale_id)
_SALES_TO_CHANGE = _SALES.with_for_update()
_ATTEMPTS = select_in(attempt, "attempt_id")
_ATTEMPTS_OF_ORDERS = select_in(attempt, "order_id").order_by(attempt.c.attempt_id)
_ATTEMPTS_OF_USERS = select_in(attempt, "user_id").where(attempt.c.flash_sale_id == sa.bindparam("of_sale"))
_ATTEMPT_COLUMNS = tuple(Attempt.__slots__)
_HOLDING = tuple(int(status) for status in HOLDING)


# Flash sales.


def sale_row(sale: FlashSale) -> dict[str, object]:
    """Write a flash sale as a row."""
    return {name: getattr(sale, name) for name in FlashSale.__slots__}


async def read_sales(connection: AsyncConnection, flash_sale_ids: Collection[int]) -> dict[int, FlashSale]:
    """Read those of the flash sales that exist."""
    return {row.flash_sale_id: _sale(row) for row in await read_in(connection, _SALES, set(flash_sale_ids))}


async def lock_sales(connection: AsyncConnection, flash_sale_ids: Collection[int]) -> dict[int, FlashSale]:
    """Read flash sales and let nobody else change them until the transaction ends, in the order of their ids."""
    rows = await read_in(connection, _SALES_TO_CHANGE, set(flash_sale_ids))
    return {row.flash_sale_id: _sale(row) for row in rows}


async def read_sale_of_request(
    connection: AsyncConnection, brand_id: int, seller_id: int, request_id: str
) -> FlashSale | None:
    """Read the flash sale that a request made."""
    table = flash_sale
    statement = sa.select(table).where(
        table.c.brand_id == brand_id, table.c.seller_id == seller_id, table.c.request_id == request_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return _sale(row) if row else None


async def list_sales(
    connection: AsyncConnection, brand_id: int, *, ending_after_ms: int, before_id: int | None, limit: int
) -> list[FlashSale]:
    """Read a brand's flash sales that end later than a moment, newest first."""
    table = flash_sale
    statement = sa.select(table).where(table.c.brand_id == brand_id, table.c.end_time_ms > ending_after_ms)
    if before_id is not None:
        statement = statement.where(table.c.flash_sale_id < before_id)
    rows = await connection.execute(statement.order_by(table.c.flash_sale_id.desc()).limit(limit))
    return [_sale(row) for row in rows]


async def list_open_sale_ids(
    connection: AsyncConnection, *, ending_after_ms: int, after_id: int, limit: int
) -> list[int]:
    """Read the ids of flash sales that end later than a moment, in their order."""
    table = flash_sale
    statement = (
        sa.select(table.c.flash_sale_id)
        .where(table.c.end_time_ms > ending_after_ms, table.c.flash_sale_id > after_id)
        .order_by(table.c.flash_sale_id)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())


async def update_sale(connection: AsyncConnection, flash_sale_id: int, values: Mapping[str, object]) -> None:
    """Set columns of a flash sale."""
    await connection.execute(sa.update(flash_sale).where(flash_sale.c.flash_sale_id == flash_sale_id).values(values))


async def write_left(connection: AsyncConnection, left: Mapping[int, int]) -> None:
    """Write what is left of locked flash sales, as flash_sale_id -> left_number."""
    rows = [(left_number, flash_sale_id) for flash_sale_id, left_number in sorted(left.items())]
    await update_rows(connection, flash_sale, ("left_number",), ("flash_sale_id",), rows)


# Attempts.


async def insert_attempts(connection: AsyncConnection, attempts: Sequence[Attempt]) -> None:
    """Write new attempts."""
    rows = [tuple(_value(getattr(one, name)) for name in _ATTEMPT_COLUMNS) for one in attempts]
    await insert_rows(connection, attempt, _ATTEMPT_COLUMNS, rows)


async def read_attempts(connection: AsyncConnection, attempt_ids: Collection[int]) -> dict[int, Attempt]:
    """Read those of the attempts that exist."""
    return {row.attempt_id: _attempt(row) for row in await read_in(connection, _ATTEMPTS, set(attempt_ids))}


async def read_attempts_of_orders(connection: AsyncConnection, order_ids: Collection[int]) -> list[Attempt]:
    """Read the attempts that orders come from."""
    return [_attempt(row) for row in await read_in(connection, _ATTEMPTS_OF_ORDERS, set(order_ids))]


async def read_attempts_of_users(
    connection: AsyncConnection, flash_sale_id: int, user_ids: Collection[int]
) -> list[Attempt]:
    """Read all attempts of some users in a flash sale."""
    rows = await read_in(connection, _ATTEMPTS_OF_USERS, set(user_ids), of_sale=flash_sale_id)
    return [_attempt(row) for row in rows]


async def read_holding(connection: AsyncConnection, flash_sale_id: int) -> list[tuple[int, str]]:
    """Read (user_id, request_id) of all that hold one of a sale's stock: at most as many as there are in all."""
    statement = sa.select(attempt.c.user_id, attempt.c.request_id).where(
        attempt.c.flash_sale_id == flash_sale_id, attempt.c.status.in_(_HOLDING)
    )
    return [(row.user_id, row.request_id) for row in await connection.execute(statement)]


async def list_attempts(
    connection: AsyncConnection, buyer: Buyer, *, before_id: int | None, limit: int
) -> list[Attempt]:
    """Read a user's attempts in a flash sale, newest first."""
    statement = sa.select(attempt).where(
        attempt.c.flash_sale_id == buyer.flash_sale_id,
        attempt.c.user_id == buyer.user_id,
        attempt.c.brand_id == buyer.brand_id,
    )
    if before_id is not None:
        statement = statement.where(attempt.c.attempt_id < before_id)
    rows = await connection.execute(statement.order_by(attempt.c.attempt_id.desc()).limit(limit))
    return [_attempt(row) for row in rows]


async def list_overdue(connection: AsyncConnection, made_before_ms: int, limit: int) -> list[Attempt]:
    """Read attempts in progress that were made before a moment, the oldest first."""
    statement = (
        sa.select(attempt)
        .where(attempt.c.status == int(AttemptStatus.IN_PROGRESS), attempt.c.add_time_ms < made_before_ms)
        .order_by(attempt.c.add_time_ms)
        .limit(limit)
    )
    return [_attempt(row) for row in await connection.execute(statement)]


async def move_attempts(
    connection: AsyncConnection, attempt_ids: Sequence[int], source: AttemptStatus, target: AttemptStatus, now_ms: int
) -> int:
    """Move attempts on that stand at `source`; answer how many did."""
    rows = [(int(target), now_ms, attempt_id, int(source)) for attempt_id in sorted(attempt_ids)]
    return await update_rows(connection, attempt, ("status", "finish_time_ms"), ("attempt_id", "status"), rows)


def _value(value: object) -> object:
    return int(value) if isinstance(value, AttemptStatus) else value


def _sale(row: Any) -> FlashSale:
    return FlashSale(*row)


def _attempt(row: Any) -> Attempt:
    return Attempt(**{**row._mapping, "status": AttemptStatus(row.status)})  # noqa: SLF001  # its public name
