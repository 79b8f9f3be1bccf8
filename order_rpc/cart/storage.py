"""The queries of the cart service. Every function takes a connection whose transaction the caller opened."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.statements import in_lists
from order_rpc.cart.domain import CartKey, CartLine
from order_rpc.cart.tables import cart, cart_line


def cart_row(key: CartKey) -> dict[str, object]:
    """Write a cart that is new as a row."""
    return asdict(key) | {"position": 0}


async def lock_cart(connection: AsyncConnection, key: CartKey) -> int | None:
    """Let nobody else put lines in until the transaction ends; answer the last position, None where no cart is."""
    statement = sa.select(cart.c.position).where(*_is(cart, key)).with_for_update()
    return (await connection.execute(statement)).scalar_one_or_none()


async def read_lines(connection: AsyncConnection, key: CartKey) -> dict[int, CartLine]:
    """Read a cart's lines, by goods."""
    statement = sa.select(*(cart_line.c[name] for name in CartLine.__slots__)).where(*_is(cart_line, key))
    return {row.goods_id: CartLine(*row) for row in await connection.execute(statement)}


async def insert_line(connection: AsyncConnection, key: CartKey, line: CartLine) -> None:
    """Put a line into a cart that is locked."""
    await connection.execute(sa.insert(cart_line).values(asdict(key) | asdict(line)))
    await connection.execute(sa.update(cart).where(*_is(cart, key)).values(position=line.position))


async def update_line(connection: AsyncConnection, key: CartKey, goods_id: int, goods_number: int) -> None:
    """Change how many of some goods are in a cart."""
    found = (*_is(cart_line, key), cart_line.c.goods_id == goods_id)
    await connection.execute(sa.update(cart_line).where(*found).values(goods_number=goods_number))


async def delete_lines(connection: AsyncConnection, key: CartKey, goods_ids: Collection[int]) -> None:
    """Take goods out of a cart, those that are in it."""
    for wanted in in_lists(goods_ids):
        found = (*_is(cart_line, key), cart_line.c.goods_id.in_(wanted))
        await connection.execute(sa.delete(cart_line).where(*found))


async def delete_all_lines(connection: AsyncConnection, key: CartKey) -> None:
    """Empty a cart."""
    await connection.execute(sa.delete(cart_line).where(*_is(cart_line, key)))


def _is(table: sa.Table, key: CartKey) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.brand_id == key.brand_id, table.c.user_id == key.user_id
