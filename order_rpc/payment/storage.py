"""The queries of payments, and the compare-and-set that applies transitions.

Every function takes a connection whose transaction the caller opened. Whoever changes a payment or a refund of it holds
the payment's lock; who wants several takes them in the order of their businesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.transitions import apply_event
from order_rpc.payment import tables
from order_rpc.payment.domain import (
    PAYMENT_TRANSITIONS,
    Business,
    IsPaid,
    Payment,
    PaymentEvent,
    PaymentStatus,
)

# Transitions.


async def move_payment(connection: AsyncConnection, pay_id: int, event: PaymentEvent, **values: object) -> bool:
    """Apply an event to a payment; answer whether it changed its status."""
    columns = tables.payment.c
    condition = columns.pay_id == pay_id
    return await apply_event(connection, columns.status, condition, PAYMENT_TRANSITIONS, event, **values) > 0


# Payments.


async def read_payment(connection: AsyncConnection, business: Business) -> Payment | None:
    """Read the payment of a business."""
    return await _read_one(connection, _of(business))


async def lock_payment(connection: AsyncConnection, business: Business) -> Payment | None:
    """Read the payment of a business, and let nobody else change it until the transaction ends."""
    return await _read_one(connection, _of(business), lock=True)


async def lock_payment_by_id(connection: AsyncConnection, pay_id: int) -> Payment | None:
    """Read and hold a payment by its id."""
    return await _read_one(connection, tables.payment.c.pay_id == pay_id, lock=True)


async def read_payments_by_id(connection: AsyncConnection, pay_ids: Sequence[int]) -> list[Payment]:
    """Read those of the payments that exist. At most mesh.statements.IN_MAX."""
    rows = await connection.execute(sa.select(tables.payment).where(tables.payment.c.pay_id.in_(pay_ids)))
    return [_payment(row) for row in rows]


async def read_paid_between(
    connection: AsyncConnection, channel: str, between_ms: tuple[int, int], after: tuple[int, int], limit: int
) -> list[Payment]:
    """Read payments of a channel that were paid in a time, after (pay_time_ms, pay_id), in that order."""
    table = tables.payment
    statement = (
        sa.select(table)
        .where(
            table.c.channel == channel,
            table.c.pay_time_ms >= max(between_ms[0], after[0]),
            table.c.pay_time_ms < between_ms[1],
            sa.or_(table.c.pay_time_ms > after[0], table.c.pay_id > after[1]),
        )
        .order_by(table.c.pay_time_ms, table.c.pay_id)
        .limit(limit)
    )
    return [_payment(row) for row in await connection.execute(statement)]


async def update_payment(connection: AsyncConnection, pay_id: int, **values: object) -> None:
    """Set columns of a payment that say nothing of where it stands."""
    await connection.execute(sa.update(tables.payment).where(tables.payment.c.pay_id == pay_id).values(values))


async def read_due_closes(connection: AsyncConnection, *, now_ms: int, limit: int) -> list[tuple[Payment, int]]:
    """Read payments that are to be closed at their channels, each with when it was closed here."""
    table = tables.payment
    statement = (
        sa.select(table)
        .where(table.c.close_due_at_ms > 0, table.c.close_due_at_ms <= now_ms)
        .order_by(table.c.close_due_at_ms, table.c.pay_id)
        .limit(limit)
    )
    return [(_payment(row), row.close_time_ms) for row in await connection.execute(statement)]


async def move_close(connection: AsyncConnection, payment: Payment, due_at_ms: int) -> bool:
    """Set when a payment is to be closed at its channel, unless somebody else did since it was read; answer whether."""
    table = tables.payment
    statement = sa.update(table).where(
        table.c.pay_id == payment.pay_id, table.c.close_due_at_ms == payment.close_due_at_ms
    )
    return (await connection.execute(statement.values(close_due_at_ms=due_at_ms))).rowcount > 0


def payment_row(payment: Payment) -> dict[str, object]:
    """Write a new payment as a row."""
    return {
        "pay_id": payment.pay_id,
        "business": payment.business.name,
        "business_id": payment.business.business_id,
        "brand_id": payment.brand_id,
        "channel": payment.channel,
        "status": payment.status.value,
        "is_paid": int(IsPaid.NO),
        "pay_amount_fen": payment.pay_amount_fen,
        "subject": payment.subject,
        "create_time_ms": payment.create_time_ms,
        "refunded_fen": 0,
        "trade_no": "",
        "pay_url": "",
        "pay_time_ms": 0,
        "close_due_at_ms": 0,
        "close_time_ms": 0,
    }


def _of(business: Business) -> sa.ColumnElement[bool]:
    table = tables.payment
    return sa.and_(table.c.business == business.name, table.c.business_id == business.business_id)


async def _read_one(
    connection: AsyncConnection, condition: sa.ColumnElement[bool], *, lock: bool = False
) -> Payment | None:
    statement = sa.select(tables.payment).where(condition)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    return _payment(row) if row else None


def _payment(row: Any) -> Payment:
    return Payment(
        row.pay_id, Business(row.business, row.business_id), row.brand_id, row.channel, PaymentStatus(row.status),
        row.pay_amount_fen, row.subject, row.create_time_ms, row.refunded_fen, row.trade_no, row.pay_url,
        row.pay_time_ms, row.close_due_at_ms,
    )  # fmt: skip
