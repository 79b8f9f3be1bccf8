"""The queries of refunds. Whoever writes one holds its payment's lock (storage.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.transitions import apply_event
from order_rpc.payment import tables
from order_rpc.payment.domain import REFUND_TRANSITIONS, Refund, RefundEvent, RefundStatus


async def move_refund(connection: AsyncConnection, refund_id: int, event: RefundEvent, **values: object) -> bool:
    """Apply an event to a refund; answer whether it changed its status."""
    columns = tables.refund.c
    condition = columns.refund_id == refund_id
    return await apply_event(connection, columns.status, condition, REFUND_TRANSITIONS, event, **values) > 0


async def insert_refund(connection: AsyncConnection, refund: Refund) -> None:
    """Write a new refund, due at once."""
    row = {
        "refund_id": refund.refund_id,
        "pay_id": refund.pay_id,
        "channel": refund.channel,
        "request_id": refund.request_id,
        "status": refund.status.value,
        "amount_fen": refund.amount_fen,
        "remark": refund.remark,
        "create_time_ms": refund.create_time_ms,
        "refund_no": "",
        "refund_time_ms": 0,
        "refusal": "",
        "due_at_ms": refund.create_time_ms,
    }
    await connection.execute(sa.insert(tables.refund).values(row))


async def add_refunded(connection: AsyncConnection, pay_id: int, amount_fen: int) -> None:
    """Count a refund of a locked payment, or, with a negative amount, take one back that was refused."""
    column = tables.payment.c.refunded_fen
    statement = sa.update(tables.payment).where(tables.payment.c.pay_id == pay_id)
    await connection.execute(statement.values(refunded_fen=column + amount_fen))


async def read_refunds(connection: AsyncConnection, pay_id: int) -> list[Refund]:
    """Read the refunds of a payment, the first one first."""
    table = tables.refund
    rows = await connection.execute(sa.select(table).where(table.c.pay_id == pay_id).order_by(table.c.refund_id))
    return [_refund(row) for row in rows]


async def read_refund_of_request(connection: AsyncConnection, pay_id: int, request_id: str) -> Refund | None:
    """Read the refund that a request made."""
    table = tables.refund
    statement = sa.select(table).where(table.c.pay_id == pay_id, table.c.request_id == request_id)
    row = (await connection.execute(statement)).one_or_none()
    return _refund(row) if row else None


async def read_refunds_by_id(connection: AsyncConnection, refund_ids: Sequence[int]) -> list[Refund]:
    """Read those of the refunds that exist. At most mesh.statements.IN_MAX."""
    rows = await connection.execute(sa.select(tables.refund).where(tables.refund.c.refund_id.in_(refund_ids)))
    return [_refund(row) for row in rows]


async def read_made_between(
    connection: AsyncConnection, channel: str, between_ms: tuple[int, int], after: tuple[int, int], limit: int
) -> list[Refund]:
    """Read refunds that a channel made in a time, after (refund_time_ms, refund_id), in that order."""
    table = tables.refund
    statement = (
        sa.select(table)
        .where(
            table.c.channel == channel,
            table.c.refund_time_ms >= max(between_ms[0], after[0]),
            table.c.refund_time_ms < between_ms[1],
            sa.or_(table.c.refund_time_ms > after[0], table.c.refund_id > after[1]),
        )
        .order_by(table.c.refund_time_ms, table.c.refund_id)
        .limit(limit)
    )
    return [_refund(row) for row in await connection.execute(statement)]


async def read_due_refunds(connection: AsyncConnection, *, now_ms: int, limit: int) -> list[tuple[Refund, int]]:
    """Read refunds that their channels are to be asked for, the longest due first, each with when it was due."""
    table = tables.refund
    statement = (
        sa.select(table)
        .where(table.c.due_at_ms > 0, table.c.due_at_ms <= now_ms)
        .order_by(table.c.due_at_ms, table.c.refund_id)
        .limit(limit)
    )
    return [(_refund(row), row.due_at_ms) for row in await connection.execute(statement)]


async def claim_refund(connection: AsyncConnection, refund_id: int, seen_due_at_ms: int, due_at_ms: int) -> bool:
    """Put off asking for a refund, unless somebody else was first since it was read."""
    table = tables.refund
    statement = sa.update(table).where(table.c.refund_id == refund_id, table.c.due_at_ms == seen_due_at_ms)
    return (await connection.execute(statement.values(due_at_ms=due_at_ms))).rowcount > 0


def _refund(row: Any) -> Refund:
    return Refund(
        row.refund_id, row.pay_id, row.channel, row.request_id, RefundStatus(row.status), row.amount_fen, row.remark,
        row.create_time_ms, row.refund_no, row.refund_time_ms, row.refusal,
    )  # fmt: skip
