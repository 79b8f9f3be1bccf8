"""The queries of the order service, and the compare-and-set that applies its transitions.

Every function takes a connection whose transaction the caller opened. Whoever changes both an order and its payment
touches the order first, so that no two transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from order_rpc.sms_package import tables
from order_rpc.sms_package.domain import (
    ORDER_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    Order,
    OrderEvent,
    OrderStatus,
    Package,
    Payment,
    PaymentEvent,
    PaymentStatus,
    changes,
)

PACKAGES_MAX = 1000
"""Packages that ListPackages answers at most."""

IN_MAX = 500
"""Values in one IN list: well below what any of the databases takes."""

Status = TypeVar("Status", bound=StrEnum)

_ORDERS_WITH_PAYMENTS = sa.select(
    tables.orders, *(column.label(f"payment_{column.name}") for column in tables.payment.c)
).join_from(tables.orders, tables.payment, tables.orders.c.order_id == tables.payment.c.order_id, isouter=True)


# Transitions.


async def move_orders(
    connection: AsyncConnection, order_ids: Collection[int], event: OrderEvent, **values: object
) -> int:
    """Apply an event to the orders whose status it changes; answer how many. At most `IN_MAX`."""
    return await _move(connection, tables.orders, order_ids, changes(ORDER_TRANSITIONS, event), values)


async def move_payments(
    connection: AsyncConnection, order_ids: Collection[int], event: PaymentEvent, **values: object
) -> int:
    """Apply an event to the payments of orders where it changes their status; answer how many. At most `IN_MAX`."""
    return await _move(connection, tables.payment, order_ids, changes(PAYMENT_TRANSITIONS, event), values)


async def _move(
    connection: AsyncConnection,
    table: sa.Table,
    order_ids: Collection[int],
    sources_of: Mapping[Status, Sequence[Status]],
    values: Mapping[str, object],
) -> int:
    moved = 0
    for target, sources in sources_of.items():
        statement = (
            sa.update(table)
            .where(table.c.order_id.in_(order_ids), table.c.status.in_([source.value for source in sources]))
            .values(status=target.value, **values)
        )
        moved += (await connection.execute(statement)).rowcount
    return moved


async def record_grants(connection: AsyncConnection, lots: Mapping[int, str]) -> int:
    """Apply the grants of orders, as order_id -> lot_id, and drop their events; answer how many were new."""
    lot_id = sa.case(lots, value=tables.orders.c.order_id)
    moved = await move_orders(connection, lots, OrderEvent.GRANT, lot_id=lot_id)
    await connection.execute(sa.delete(tables.outbox).where(tables.outbox.c.order_id.in_(lots)))
    return moved


async def record_opened(connection: AsyncConnection, payment_id: int, *, trade_no: str, pay_url: str) -> None:
    """Write what the channel answered. It changes no status, so it may come at any."""
    statement = sa.update(tables.payment).where(tables.payment.c.payment_id == payment_id)
    await connection.execute(statement.values(trade_no=trade_no, pay_url=pay_url))


# Orders with their payments.


async def lock_order(connection: AsyncConnection, order_id: int) -> None:
    """Let nobody else change this order until the transaction ends."""
    column = tables.orders.c.order_id
    await connection.execute(sa.select(column).where(column == order_id).with_for_update())


async def read_order(connection: AsyncConnection, order_id: int) -> Order | None:
    """Read one order, of whatever brand."""
    return await _read_one(connection, tables.orders.c.order_id == order_id)


async def read_order_of_request(connection: AsyncConnection, brand_id: int, request_id: str) -> Order | None:
    """Read the order that a request made."""
    table = tables.orders
    return await _read_one(connection, table.c.brand_id == brand_id, table.c.request_id == request_id)


async def read_order_of_payment(connection: AsyncConnection, payment_id: int) -> Order | None:
    """Read the order that a payment is for."""
    return await _read_one(connection, tables.payment.c.payment_id == payment_id)


async def _read_one(connection: AsyncConnection, *conditions: sa.ColumnElement[bool]) -> Order | None:
    row = (await connection.execute(_ORDERS_WITH_PAYMENTS.where(*conditions))).one_or_none()
    return _order(row) if row else None


async def read_orders(connection: AsyncConnection, order_ids: Sequence[int]) -> list[Order]:
    """Read the orders of these that exist, in IN lists of bounded length."""
    found: list[Order] = []
    for start in range(0, len(order_ids), IN_MAX):
        chunk = order_ids[start : start + IN_MAX]
        rows = await connection.execute(_ORDERS_WITH_PAYMENTS.where(tables.orders.c.order_id.in_(chunk)))
        found.extend(_order(row) for row in rows)
    return found


async def list_orders(connection: AsyncConnection, brand_id: int, *, before_id: int | None, limit: int) -> list[Order]:
    """Read a brand's orders, newest first."""
    table = tables.orders
    statement = _ORDERS_WITH_PAYMENTS.where(table.c.brand_id == brand_id)
    if before_id is not None:
        statement = statement.where(table.c.order_id < before_id)
    return [_order(row) for row in await connection.execute(statement.order_by(table.c.order_id.desc()).limit(limit))]


async def overdue_ids(connection: AsyncConnection, *, now_ms: int, limit: int) -> list[int]:
    """Name unpaid orders past their time, the longest overdue first."""
    table = tables.orders
    statement = (
        sa.select(table.c.order_id)
        .where(table.c.status == OrderStatus.CREATED.value, table.c.expires_at_ms <= now_ms)
        .order_by(table.c.expires_at_ms, table.c.order_id)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())


def order_row(order: Order) -> dict[str, object]:
    """Write an order, without its payment, as a row."""
    return {
        "order_id": order.order_id,
        "brand_id": order.brand_id,
        "request_id": order.request_id,
        "status": order.status.value,
        **package_row(order.package),
        "quantity": order.quantity,
        "lot_id": order.lot_id,
        "created_at_ms": order.created_at_ms,
        "expires_at_ms": order.expires_at_ms,
        "paid_at_ms": order.paid_at_ms,
    }


async def insert_payment(connection: AsyncConnection, payment: Payment, created_at_ms: int) -> None:
    """Write a new payment. The caller holds its order's lock, so there is no other."""
    row = {
        "payment_id": payment.payment_id,
        "order_id": payment.order_id,
        "status": payment.status.value,
        "amount_fen": payment.amount_fen,
        "trade_no": payment.trade_no,
        "pay_url": payment.pay_url,
        "created_at_ms": created_at_ms,
        "paid_at_ms": payment.paid_at_ms,
    }
    await connection.execute(sa.insert(tables.payment).values(row))


def _order(row: Any) -> Order:
    return Order(
        row.order_id, row.brand_id, row.request_id, OrderStatus(row.status), _package(row), row.quantity,
        row.created_at_ms, row.expires_at_ms, row.paid_at_ms, row.lot_id,
        _payment(row) if row.payment_payment_id is not None else None,
    )  # fmt: skip


def _payment(row: Any) -> Payment:
    return Payment(
        row.payment_payment_id, row.payment_order_id, PaymentStatus(row.payment_status), row.payment_amount_fen,
        row.payment_trade_no, row.payment_pay_url, row.payment_paid_at_ms,
    )  # fmt: skip


def _package(row: Any) -> Package:
    return Package(row.package_id, row.title, row.credits, row.price_fen, row.valid_days)


# The catalogue.


async def read_package(connection: AsyncConnection, package_id: str) -> Package | None:
    """Read one package."""
    statement = sa.select(tables.package).where(tables.package.c.package_id == package_id)
    row = (await connection.execute(statement)).one_or_none()
    return _package(row) if row else None


async def list_packages(connection: AsyncConnection) -> list[Package]:
    """Read the catalogue by price."""
    table = tables.package
    statement = sa.select(table).order_by(table.c.price_fen, table.c.package_id).limit(PACKAGES_MAX)
    return [_package(row) for row in await connection.execute(statement)]


async def update_package(connection: AsyncConnection, package: Package) -> None:
    """Make the package in the catalogue as this one."""
    table = tables.package
    await connection.execute(
        sa.update(table).where(table.c.package_id == package.package_id).values(package_row(package))
    )


def package_row(package: Package) -> dict[str, object]:
    """Write a package as a row, or as the part of an order's row that tells what was bought."""
    return {
        "package_id": package.package_id,
        "title": package.title,
        "credits": package.credits,
        "price_fen": package.price_fen,
        "valid_days": package.valid_days,
    }


# The outbox.


async def insert_event(connection: AsyncConnection, order_id: int, now_ms: int) -> None:
    """Keep that an order was paid, due to be published at once."""
    row = {"order_id": order_id, "created_at_ms": now_ms, "due_at_ms": now_ms}
    await connection.execute(sa.insert(tables.outbox).values(row))


async def due_events(connection: AsyncConnection, *, now_ms: int, limit: int) -> dict[int, int]:
    """Answer the events to be published as order_id -> created_at_ms, the longest due first."""
    table = tables.outbox
    statement = (
        sa.select(table.c.order_id, table.c.created_at_ms)
        .where(table.c.due_at_ms <= now_ms)
        .order_by(table.c.due_at_ms, table.c.order_id)
        .limit(limit)
    )
    return {row.order_id: row.created_at_ms for row in await connection.execute(statement)}


async def postpone_events(connection: AsyncConnection, due_at_ms: Mapping[int, int]) -> None:
    """Set when events, by order_id, are due again. Those that had their effect meanwhile are gone."""
    statement = (
        sa.update(tables.outbox)
        .where(tables.outbox.c.order_id == sa.bindparam("id"))
        .values(due_at_ms=sa.bindparam("to_due_at_ms"))
    )
    await connection.execute(statement, [{"id": id_, "to_due_at_ms": at_ms} for id_, at_ms in due_at_ms.items()])
