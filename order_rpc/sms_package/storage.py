"""The queries of the service of SMS packages, and the compare-and-set that applies its transitions.

Every function takes a connection whose transaction the caller opened. An order and its payment are one row. `IN_MAX`
is that of `mesh.statements`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.statements import read_in, select_in
from mesh.transitions import apply_event
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
)

PACKAGES_MAX = 1000
"""Packages that ListPackages answers at most."""

_ORDERS = select_in(tables.orders, "order_id").order_by(tables.orders.c.order_id)
_ORDERS_TO_CHANGE = _ORDERS.with_for_update()


# Transitions.


async def move_orders(
    connection: AsyncConnection, order_ids: Collection[int], event: OrderEvent, **values: object
) -> int:
    """Apply an event to the orders whose status it changes; answer how many. At most `IN_MAX`."""
    columns = tables.orders.c
    condition = columns.order_id.in_(order_ids)
    return await apply_event(connection, columns.status, condition, ORDER_TRANSITIONS, event, **values)


async def move_payments(
    connection: AsyncConnection, order_ids: Collection[int], event: PaymentEvent, **values: object
) -> int:
    """Apply an event to the payments of orders where it changes their status; answer how many. At most `IN_MAX`."""
    columns = tables.orders.c
    condition = columns.order_id.in_(order_ids)
    return await apply_event(connection, columns.pay_status, condition, PAYMENT_TRANSITIONS, event, **values)


async def record_grants(connection: AsyncConnection, lots: Mapping[int, str]) -> int:
    """Apply the grants of orders, as order_id -> lot_id; answer how many were new."""
    lot_id = sa.case(lots, value=tables.orders.c.order_id)
    return await move_orders(connection, lots, OrderEvent.GRANT, lot_id=lot_id)


async def record_opened(
    connection: AsyncConnection, order_id: int, *, pay_id: int, trade_no: str, pay_url: str
) -> None:
    """Write where an order is paid, and that it has a payment, wherever that stands by now."""
    await move_payments(connection, [order_id], PaymentEvent.OPEN)
    statement = sa.update(tables.orders).where(tables.orders.c.order_id == order_id)
    await connection.execute(statement.values(pay_id=pay_id, pay_url=pay_url))
    # The news of its money may have brought a number already.
    await connection.execute(statement.where(tables.orders.c.trade_no == "").values(trade_no=trade_no))


# Orders.


async def lock_orders(connection: AsyncConnection, order_ids: Collection[int]) -> list[Order]:
    """Read orders, and let nobody else change them until the transaction ends, in the order of their ids."""
    return [_order(row) for row in await read_in(connection, _ORDERS_TO_CHANGE, order_ids)]


async def put_off(connection: AsyncConnection, order_ids: Collection[int], expires_at_ms: int) -> None:
    """Give orders more time that are not paid yet. At most `IN_MAX`."""
    orders = await lock_orders(connection, order_ids)
    unpaid = [order.order_id for order in orders if order.is_unpaid]
    statement = sa.update(tables.orders).where(tables.orders.c.order_id.in_(unpaid))
    await connection.execute(statement.values(expires_at_ms=expires_at_ms))


async def read_order(connection: AsyncConnection, order_id: int) -> Order | None:
    """Read one order, of whatever brand."""
    return await _read_one(connection, tables.orders.c.order_id == order_id)


async def read_order_of_request(connection: AsyncConnection, brand_id: int, request_id: str) -> Order | None:
    """Read the order that a request made."""
    table = tables.orders
    return await _read_one(connection, table.c.brand_id == brand_id, table.c.request_id == request_id)


async def _read_one(connection: AsyncConnection, *conditions: sa.ColumnElement[bool]) -> Order | None:
    row = (await connection.execute(sa.select(tables.orders).where(*conditions))).one_or_none()
    return _order(row) if row else None


async def read_orders(connection: AsyncConnection, order_ids: Collection[int]) -> list[Order]:
    """Read the orders of these that exist."""
    return [_order(row) for row in await read_in(connection, _ORDERS, order_ids)]


async def list_orders(connection: AsyncConnection, brand_id: int, *, before_id: int | None, limit: int) -> list[Order]:
    """Read a brand's orders, newest first."""
    table = tables.orders
    statement = sa.select(tables.orders).where(table.c.brand_id == brand_id)
    if before_id is not None:
        statement = statement.where(table.c.order_id < before_id)
    return [_order(row) for row in await connection.execute(statement.order_by(table.c.order_id.desc()).limit(limit))]


async def overdue_ids(connection: AsyncConnection, *, now_ms: int, limit: int) -> list[int]:
    """Name unpaid orders past their time, the longest overdue first.

    They are held by their ids afterwards, as everybody does: on MariaDB, who holds one by another index waits for who
    holds it by its id and moves it on, and the other way round.
    """
    table = tables.orders
    statement = (
        sa.select(table.c.order_id)
        .where(table.c.status == OrderStatus.CREATED.value, table.c.expires_at_ms <= now_ms)
        .order_by(table.c.expires_at_ms, table.c.order_id)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())


def order_row(order: Order) -> dict[str, object]:
    """Write a new order as a row."""
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
        "pay_status": order.payment.status.value,
        "pay_id": order.payment.pay_id,
        "trade_no": order.payment.trade_no,
        "pay_url": order.payment.pay_url,
        "pay_time_ms": order.payment.pay_time_ms,
    }


def _order(row: Any) -> Order:
    payment = Payment(PaymentStatus(row.pay_status), row.pay_id, row.trade_no, row.pay_url, row.pay_time_ms)
    return Order(
        row.order_id, row.brand_id, row.request_id, OrderStatus(row.status), _package(row), row.quantity,
        row.created_at_ms, row.expires_at_ms, row.paid_at_ms, row.lot_id, payment,
    )  # fmt: skip


def _package(row: Any) -> Package:
    return Package(row.package_id, row.title, row.credits, row.price_fen, row.valid_days)


# The catalogue.


async def read_package(connection: AsyncConnection, package_id: str) -> Package | None:
    """Read one package."""
    statement = sa.select(tables.package).where(tables.package.c.package_id == package_id)
    row = (await connection.execute(statement)).one_or_none()
    # A database may take an id with blanks at its end as the one without.
    return _package(row) if row and row.package_id == package_id else None


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
