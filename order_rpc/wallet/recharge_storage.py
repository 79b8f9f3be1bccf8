"""The queries of recharges. Every function takes a connection whose transaction the caller opened."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import update_locked_rows
from mesh.statements import read_in, select_in
from mesh.transitions import changes
from order_rpc.wallet.domain import RECHARGE_TRANSITIONS, Recharge, RechargeEvent, RechargeStatus
from order_rpc.wallet.tables import recharge

_TO_CHANGE = select_in(recharge, "recharge_id").order_by(recharge.c.recharge_id).with_for_update()


def recharge_row(one: Recharge) -> dict[str, object]:
    """Write a recharge as a row."""
    return {name: getattr(one, name) for name in Recharge.__slots__} | {"status": int(one.status)}


async def read_recharge(connection: AsyncConnection, recharge_id: int) -> Recharge | None:
    """Read a recharge."""
    row = (await connection.execute(sa.select(recharge).where(recharge.c.recharge_id == recharge_id))).one_or_none()
    return to_recharge(row) if row else None


async def read_recharge_of_request(
    connection: AsyncConnection, user_id: int, brand_id: int, request_id: str
) -> Recharge | None:
    """Read the recharge that a request began."""
    statement = sa.select(recharge).where(
        recharge.c.user_id == user_id, recharge.c.brand_id == brand_id, recharge.c.request_id == request_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return to_recharge(row) if row else None


async def lock_recharges(connection: AsyncConnection, recharge_ids: Collection[int]) -> dict[int, Recharge]:
    """Read recharges and let nobody else change them until the transaction ends, in the order of their ids."""
    return {row.recharge_id: to_recharge(row) for row in await read_in(connection, _TO_CHANGE, set(recharge_ids))}


async def overdue_ids(connection: AsyncConnection, now_ms: int, limit: int) -> list[int]:
    """Name recharges whose time is over, those that are so the longest first."""
    statement = (
        sa.select(recharge.c.recharge_id)
        .where(
            recharge.c.status.in_(changes(RECHARGE_TRANSITIONS, RechargeEvent.EXPIRE)[RechargeStatus.EXPIRED]),
            recharge.c.expire_time_ms <= now_ms,
        )
        .order_by(recharge.c.expire_time_ms)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())


async def move_recharges(
    connection: AsyncConnection, recharge_ids: Collection[int], status: RechargeStatus, pay_time_ms: int = 0
) -> None:
    """Move locked recharges on that are CREATED. Raises AssertionError when one is not as it was read."""
    created = int(RechargeStatus.CREATED)
    rows = [(int(status), pay_time_ms, recharge_id, created) for recharge_id in sorted(recharge_ids)]
    await update_locked_rows(connection, recharge, ("status", "pay_time_ms"), ("recharge_id", "status"), rows)


async def put_off(connection: AsyncConnection, recharge_ids: Collection[int], expire_time_ms: int) -> None:
    """Give locked recharges more time. At most 500."""
    statement = sa.update(recharge).where(recharge.c.recharge_id.in_(recharge_ids))
    await connection.execute(statement.values(expire_time_ms=expire_time_ms))


async def record_pay_url(connection: AsyncConnection, recharge_id: int, pay_url: str) -> None:
    """Write where to pay, in place of where that was before."""
    await connection.execute(sa.update(recharge).where(recharge.c.recharge_id == recharge_id).values(pay_url=pay_url))


async def withdraw_recharge(connection: AsyncConnection, recharge_id: int) -> None:
    """Forget a recharge that never had a payment."""
    await connection.execute(
        sa.delete(recharge).where(
            recharge.c.recharge_id == recharge_id,
            recharge.c.pay_url == "",
            recharge.c.status == int(RechargeStatus.CREATED),
        )
    )


def to_recharge(row: Any) -> Recharge:
    """Read a row."""
    recharge_id, user_id, brand_id, request_id, channel, amount_fen, status, *rest = row
    return Recharge(
        recharge_id, user_id, brand_id, request_id, channel, amount_fen, RechargeStatus(status), *rest
    )  # fmt: skip
