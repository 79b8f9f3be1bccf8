"""The queries of the coupon service. Every function takes a connection whose transaction the caller opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import insert_rows, update_rows
from mesh.statements import read_in, select_in
from order_rpc.coupon.domain import Coupon, Use, UseState
from order_rpc.coupon.tables import coupon, coupon_use

_COUPONS = select_in(coupon, "coupon_id").order_by(coupon.c.coupon_id).with_for_update()
_USES = select_in(coupon_use, "order_id").order_by(coupon_use.c.order_id).with_for_update()


# Coupons.


def coupon_row(one: Coupon) -> dict[str, object]:
    """Write a coupon as a row."""
    return {name: getattr(one, name) for name in Coupon.__slots__} | {"is_used": int(one.is_used)}


async def read_coupon(connection: AsyncConnection, coupon_id: int) -> Coupon | None:
    row = (await connection.execute(sa.select(coupon).where(coupon.c.coupon_id == coupon_id))).one_or_none()
    return _coupon(row) if row else None


async def read_coupon_of_request(connection: AsyncConnection, brand_id: int, request_id: str) -> Coupon | None:
    """Read the coupon that a request made."""
    statement = sa.select(coupon).where(coupon.c.brand_id == brand_id, coupon.c.request_id == request_id)
    row = (await connection.execute(statement)).one_or_none()
    return _coupon(row) if row else None


async def list_coupons(
    connection: AsyncConnection,
    brand_id: int,
    user_id: int,
    *,
    usable_at_ms: int | None,
    before_id: int | None,
    limit: int,
) -> list[Coupon]:
    """Read a user's coupons, newest first; with `usable_at_ms` those that can be used then."""
    statement = sa.select(coupon).where(coupon.c.brand_id == brand_id, coupon.c.user_id == user_id)
    if usable_at_ms is not None:
        statement = statement.where(coupon.c.is_used == 0, coupon.c.expire_time_ms > usable_at_ms)
    if before_id is not None:
        statement = statement.where(coupon.c.coupon_id < before_id)
    rows = await connection.execute(statement.order_by(coupon.c.coupon_id.desc()).limit(limit))
    return [_coupon(row) for row in rows]


async def lock_coupons(connection: AsyncConnection, coupon_ids: Collection[int]) -> dict[int, Coupon]:
    """Read coupons and let nobody else change them until the transaction ends, in the order of their ids."""
    return {row.coupon_id: _coupon(row) for row in await read_in(connection, _COUPONS, set(coupon_ids))}


async def use_coupons(connection: AsyncConnection, used: Sequence[Coupon]) -> int:
    """Write which orders have coupons, of those that nobody has; answer how many these were."""
    rows = [(1, one.order_id, one.used_time_ms, one.coupon_id, 0) for one in used]
    return await update_rows(
        connection, coupon, ("is_used", "order_id", "used_time_ms"), ("coupon_id", "is_used"), rows
    )


async def give_back_coupons(connection: AsyncConnection, uses: Sequence[Use]) -> None:
    """Free coupons, each only if that order has it."""
    rows = [(0, 0, 0, use.coupon_id, use.order_id) for use in uses]
    await update_rows(connection, coupon, ("is_used", "order_id", "used_time_ms"), ("coupon_id", "order_id"), rows)


# What orders have of them.


def use_row(use: Use) -> dict[str, object]:
    """Write what an order has as a row."""
    return {"order_id": use.order_id, "coupon_id": use.coupon_id, "state": use.state.value}


async def lock_uses(connection: AsyncConnection, order_ids: Collection[int]) -> dict[int, Use]:
    """Read and hold what those orders have that are known."""
    rows = await read_in(connection, _USES, set(order_ids))
    return {row.order_id: Use(row.order_id, row.coupon_id, UseState(row.state)) for row in rows}


async def insert_uses(connection: AsyncConnection, uses: Collection[Use]) -> None:
    """Write what orders have that were not known. Raises IntegrityError when another process was first."""
    rows = sorted((use.order_id, use.coupon_id, use.state.value) for use in uses)
    await insert_rows(connection, coupon_use, ("order_id", "coupon_id", "state"), rows)


async def release_uses(connection: AsyncConnection, uses: Sequence[Use]) -> None:
    """Move on what orders have that use a coupon."""
    rows = [(UseState.RELEASED.value, use.order_id, UseState.USED.value) for use in uses]
    await update_rows(connection, coupon_use, ("state",), ("order_id", "state"), rows)


def _coupon(row: Any) -> Coupon:
    values = dict(zip(Coupon.__slots__, row, strict=True))
    return Coupon(**values | {"is_used": bool(row.is_used)})
