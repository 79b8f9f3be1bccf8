"""The queries of the goods service. Every function takes a connection whose transaction the caller opened."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import insert_rows, update_rows
from mesh.statements import read_in, select_in
from order_rpc.goods.domain import Goods, ReservationState, StockLog
from order_rpc.goods.tables import goods, stock_adjustment, stock_log, stock_reservation

_GOODS = select_in(goods, "goods_id").order_by(goods.c.goods_id)
_GOODS_TO_CHANGE = _GOODS.with_for_update()
_RESERVATIONS = select_in(stock_reservation, "order_id").order_by(stock_reservation.c.order_id)
_RESERVATIONS_TO_CHANGE = _RESERVATIONS.with_for_update()
_LOGS_OF_ORDERS = select_in(stock_log, "order_id").order_by(stock_log.c.log_id)


# Goods.


def goods_row(one: Goods) -> dict[str, object]:
    """Write goods as a row."""
    return {name: getattr(one, name) for name in Goods.__slots__}


async def read_goods(connection: AsyncConnection, goods_ids: Collection[int]) -> dict[int, Goods]:
    """Read those of the goods that exist."""
    return {row.goods_id: _goods(row) for row in await read_in(connection, _GOODS, set(goods_ids))}


async def lock_goods(connection: AsyncConnection, goods_ids: Collection[int]) -> dict[int, Goods]:
    """Read goods and let nobody else change them until the transaction ends, in the order of their ids."""
    return {row.goods_id: _goods(row) for row in await read_in(connection, _GOODS_TO_CHANGE, set(goods_ids))}


async def read_goods_of_request(connection: AsyncConnection, brand_id: int, request_id: str) -> Goods | None:
    """Read the goods that a request made."""
    statement = sa.select(goods).where(goods.c.brand_id == brand_id, goods.c.request_id == request_id)
    row = (await connection.execute(statement)).one_or_none()
    return _goods(row) if row else None


async def list_goods(
    connection: AsyncConnection, brand_id: int, *, on_sale_only: bool, before_id: int | None, limit: int
) -> list[Goods]:
    """Read a brand's goods, newest first."""
    statement = sa.select(goods).where(goods.c.brand_id == brand_id)
    if on_sale_only:
        statement = statement.where(goods.c.on_sale.is_(sa.true()))
    if before_id is not None:
        statement = statement.where(goods.c.goods_id < before_id)
    rows = await connection.execute(statement.order_by(goods.c.goods_id.desc()).limit(limit))
    return [_goods(row) for row in rows]


async def update_goods(connection: AsyncConnection, goods_id: int, values: Mapping[str, object]) -> None:
    """Set columns of some goods."""
    await connection.execute(sa.update(goods).where(goods.c.goods_id == goods_id).values(values))


# Stock.


async def write_stock(connection: AsyncConnection, stock: Mapping[int, int]) -> None:
    """Write what is left of locked goods, as goods_id -> goods_number."""
    rows = [(goods_number, goods_id) for goods_id, goods_number in stock.items()]
    await update_rows(connection, goods, ("goods_number",), ("goods_id",), rows)


async def insert_logs(connection: AsyncConnection, logs: Iterable[tuple[int, int, int]], now_ms: int) -> None:
    """Write changes of stocks, each as (goods_id, order_id, goods_number)."""
    columns = ("goods_id", "order_id", "goods_number", "log_time_ms")
    await insert_rows(connection, stock_log, columns, [(*log, now_ms) for log in logs])


async def list_logs(connection: AsyncConnection, goods_id: int, before_id: int | None, limit: int) -> list[StockLog]:
    """Read the changes of a stock, newest first."""
    statement = sa.select(stock_log).where(stock_log.c.goods_id == goods_id)
    if before_id is not None:
        statement = statement.where(stock_log.c.log_id < before_id)
    rows = await connection.execute(statement.order_by(stock_log.c.log_id.desc()).limit(limit))
    return [_log(row) for row in rows]


async def read_logs_of_orders(connection: AsyncConnection, order_ids: Collection[int]) -> list[StockLog]:
    """Read what orders took and gave back."""
    return [_log(row) for row in await read_in(connection, _LOGS_OF_ORDERS, set(order_ids))]


async def read_reservations(connection: AsyncConnection, order_ids: Collection[int]) -> dict[int, ReservationState]:
    """Read the reservations of those orders that have one."""
    rows = await read_in(connection, _RESERVATIONS, set(order_ids))
    return {row.order_id: ReservationState(row.state) for row in rows}


async def lock_reservations(connection: AsyncConnection, order_ids: Collection[int]) -> dict[int, ReservationState]:
    """Read and hold the reservations of those orders that have one."""
    rows = await read_in(connection, _RESERVATIONS_TO_CHANGE, set(order_ids))
    return {row.order_id: ReservationState(row.state) for row in rows}


async def insert_reservations(connection: AsyncConnection, states: Mapping[int, ReservationState]) -> None:
    """Write reservations of orders that had none. Raises IntegrityError when another process was first."""
    rows = [(order_id, state.value) for order_id, state in sorted(states.items())]
    await insert_rows(connection, stock_reservation, ("order_id", "state"), rows)


async def release_reservations(connection: AsyncConnection, order_ids: Sequence[int]) -> None:
    """Move taken reservations on."""
    rows = [(ReservationState.RELEASED.value, order_id, ReservationState.TAKEN.value) for order_id in order_ids]
    await update_rows(connection, stock_reservation, ("state",), ("order_id", "state"), rows)


async def read_adjustment(connection: AsyncConnection, brand_id: int, request_id: str) -> tuple[int, int] | None:
    """Read what a request adjusted, as (goods_id, change)."""
    table = stock_adjustment
    statement = sa.select(table.c.goods_id, table.c.change).where(
        table.c.brand_id == brand_id, table.c.request_id == request_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return (row.goods_id, row.change) if row else None


def adjustment_row(brand_id: int, request_id: str, goods_id: int, change: int) -> dict[str, object]:
    """Write what a request adjusts as a row."""
    return {"brand_id": brand_id, "request_id": request_id, "goods_id": goods_id, "change": change}


def _goods(row: Any) -> Goods:
    return Goods(*row)


def _log(row: Any) -> StockLog:
    return StockLog(*row)
