"""The queries of the order service, and the compare-and-sets that apply its transitions.

Every function takes a connection whose transaction the caller opened.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import insert_rows
from mesh.statements import read_in, select_in
from mesh.transitions import changes
from order_rpc.order.domain import (
    ORDER_TRANSITIONS,
    Order,
    OrderEvent,
    OrderLine,
    OrderStatus,
    PayStatus,
    Refund,
    ShippingStatus,
    Stage,
    Step,
)
from order_rpc.order.tables import order_goods, order_refund, order_step, orders

_ORDERS_TO_CHANGE = select_in(orders, "order_id").order_by(orders.c.order_id).with_for_update()
_ORDERS_OF_REQUESTS = select_in(orders, "request_id").where(
    orders.c.brand_id == sa.bindparam("brand_id"), orders.c.user_id.in_(sa.bindparam("user_ids", expanding=True))
)
_LINES = select_in(order_goods, "order_id").order_by(order_goods.c.order_id, order_goods.c.position)
RequestName: TypeAlias = tuple[int, int, str]
"""brand_id, user_id, request_id."""

_REQUESTS_MAX = 50
"""Requests that one statement looks for: each of their ids with each of their users."""

_FIELDS = tuple(field.name for field in dataclasses.fields(Order))


# Orders.


async def insert_orders(connection: AsyncConnection, made: Sequence[tuple[Order, Sequence[OrderLine]]]) -> None:
    """Write new orders with their lines. Raises IntegrityError when a request id is taken."""
    await insert_rows(connection, orders, _FIELDS, [_values(order) for order, _ in made])
    columns = ("order_id", "position", "goods_id", "goods_name", "goods_number", "goods_price_fen")
    rows = [
        (order.order_id, position, line.goods_id, line.goods_name, line.goods_number, line.goods_price_fen)
        for order, lines in made
        for position, line in enumerate(lines)
    ]
    await insert_rows(connection, order_goods, columns, rows)


async def read_order(connection: AsyncConnection, order_id: int) -> Order | None:
    """Read one order, of whatever brand and user."""
    row = (await connection.execute(sa.select(orders).where(orders.c.order_id == order_id))).one_or_none()
    return _order(row) if row else None


async def read_orders_of_requests(
    connection: AsyncConnection, requests: Collection[RequestName]
) -> dict[RequestName, Order]:
    """Read the orders that requests made."""
    found: dict[RequestName, Order] = {}
    for brand_id, of_brand in itertools.groupby(sorted(set(requests)), key=lambda name: name[0]):
        names = list(of_brand)
        for start in range(0, len(names), _REQUESTS_MAX):
            found |= await _read_orders_of_some(connection, brand_id, set(names[start : start + _REQUESTS_MAX]))
    return found


async def _read_orders_of_some(
    connection: AsyncConnection, brand_id: int, names: Collection[RequestName]
) -> dict[RequestName, Order]:
    request_ids, user_ids = {request_id for _, _, request_id in names}, sorted({user_id for _, user_id, _ in names})
    rows = await read_in(connection, _ORDERS_OF_REQUESTS, request_ids, brand_id=brand_id, user_ids=user_ids)
    by_name = {(row.brand_id, row.user_id, row.request_id): row for row in rows}
    return {name: _order(by_name[name]) for name in names if name in by_name}


async def lock_orders(connection: AsyncConnection, order_ids: Collection[int]) -> dict[int, Order]:
    """Read orders and let nobody else change them until the transaction ends, in the order of their ids."""
    return {row.order_id: _order(row) for row in await read_in(connection, _ORDERS_TO_CHANGE, set(order_ids))}


async def list_orders(
    connection: AsyncConnection,
    brand_id: int,
    *,
    buyer_id: int = 0,
    seller_id: int = 0,
    before_id: int | None,
    limit: int,
) -> list[Order]:
    """Read the orders of a buyer, or those of a seller, newest first."""
    whose = orders.c.user_id == buyer_id if buyer_id else orders.c.seller_id == seller_id
    statement = sa.select(orders).where(orders.c.brand_id == brand_id, whose)
    if before_id is not None:
        statement = statement.where(orders.c.order_id < before_id)
    return [_order(row) for row in await connection.execute(statement.order_by(orders.c.order_id.desc()).limit(limit))]


async def overdue_ids(connection: AsyncConnection, stages: Collection[Stage], *, now_ms: int, limit: int) -> list[int]:
    """Name orders in these stages whose time is over, the longest overdue first."""
    in_stage = [_in_stage(stage) for stage in stages]
    statement = (
        sa.select(orders.c.order_id)
        .where(sa.or_(*in_stage), orders.c.expire_time_ms <= now_ms)
        .order_by(orders.c.expire_time_ms, orders.c.order_id)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())


async def move_orders(
    connection: AsyncConnection, order_ids: Collection[int], event: OrderEvent, **values: object
) -> int:
    """Apply an event to the orders whose stage it changes; answer how many. At most 500."""
    moved = 0
    for target, some in changes(ORDER_TRANSITIONS, event).items():
        statement = (
            sa.update(orders)
            .where(orders.c.order_id.in_(order_ids), sa.or_(*[_in_stage(source) for source in some]))
            .values(order_status=int(target.order_status), pay_status=int(target.pay_status), **values)
        )
        moved += (await connection.execute(statement)).rowcount
    return moved


async def put_off(connection: AsyncConnection, order_ids: Collection[int], expire_time_ms: int) -> None:
    """Give locked orders more time. At most 500."""
    statement = sa.update(orders).where(orders.c.order_id.in_(order_ids))
    await connection.execute(statement.values(expire_time_ms=expire_time_ms))


async def set_columns(connection: AsyncConnection, order_id: int, values: Mapping[str, object]) -> None:
    """Set columns of an order that the caller has locked."""
    await connection.execute(sa.update(orders).where(orders.c.order_id == order_id).values(values))


def _in_stage(stage: Stage) -> sa.ColumnElement[bool]:
    return sa.and_(orders.c.order_status == int(stage.order_status), orders.c.pay_status == int(stage.pay_status))


def _values(order: Order) -> tuple[Any, ...]:
    # PostgreSQL's driver takes a truth value for a truth value alone.
    return tuple(int(value) if isinstance(value, IntEnum) else value for value in map(order.__getattribute__, _FIELDS))


def _order(row: Any) -> Order:
    fields = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it
    return Order(
        **fields
        | {
            "order_status": OrderStatus(row.order_status),
            "pay_status": PayStatus(row.pay_status),
            "shipping_status": ShippingStatus(row.shipping_status),
        }
    )


# What belongs to an order.


async def read_lines(connection: AsyncConnection, order_ids: Collection[int]) -> dict[int, list[OrderLine]]:
    """Read the lines of orders."""
    found: dict[int, list[OrderLine]] = {order_id: [] for order_id in order_ids}
    for row in await read_in(connection, _LINES, set(order_ids)):
        line = OrderLine(row.goods_id, row.goods_name, row.goods_number, row.goods_price_fen)
        found[row.order_id].append(line)
    return found


async def insert_steps(connection: AsyncConnection, steps: Sequence[tuple[int, str, str]], now_ms: int) -> None:
    """Write steps, each as (order_id, event, remark)."""
    columns = ("order_id", "event", "remark", "event_time_ms")
    await insert_rows(connection, order_step, columns, [(*step, now_ms) for step in steps])


async def read_steps(connection: AsyncConnection, order_id: int, limit: int) -> list[Step]:
    """Read the steps of an order, the first one first."""
    statement = sa.select(order_step).where(order_step.c.order_id == order_id).order_by(order_step.c.step_id)
    return [Step(row.event, row.remark, row.event_time_ms) for row in await connection.execute(statement.limit(limit))]


async def read_refund(connection: AsyncConnection, order_id: int, request_id: str) -> Refund | None:
    """Read the refund that a request made."""
    statement = sa.select(order_refund).where(
        order_refund.c.order_id == order_id, order_refund.c.request_id == request_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return Refund(row.request_id, row.amount_fen, row.payment_fen, row.coins_fen) if row else None


async def insert_refund(connection: AsyncConnection, order_id: int, refund: Refund, now_ms: int) -> None:
    """Write a refund of an order that the caller has locked."""
    row = {
        "order_id": order_id,
        "request_id": refund.request_id,
        "amount_fen": refund.amount_fen,
        "payment_fen": refund.payment_fen,
        "coins_fen": refund.coins_fen,
        "create_time_ms": now_ms,
    }
    await connection.execute(sa.insert(order_refund).values(row))
