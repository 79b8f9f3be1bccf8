"""Carts: what users put in and take out, and what orders take out that are confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.messages import ReceivedMessage
from order_rpc.cart import refusals, storage, tables
from order_rpc.cart.clients import Goods
from order_rpc.cart.domain import CartKey, CartLine, PricedCart, price_cart, refuse_goods, refuse_line


class Carts:
    """The carts of users. What is in them reserves nothing and keeps no price."""

    def __init__(self, database: Database, goods: Goods) -> None:
        self._database = database
        self._goods = goods

    async def put(self, key: CartKey, goods_id: int, goods_number: int) -> PricedCart:
        """Have so many of some goods in a cart, whatever was there before.

        Raises GOODS_NOT_FOUND, GOODS_NOT_ON_SALE, CART_FULL.
        """
        goods = await self._goods.get(key.brand_id, [goods_id])
        refusal = refuse_goods(goods_id, goods.get(goods_id))
        if refusal is not None:
            raise refusals.cart_refused(goods_id, refusal)
        if not await self._put_line(key, goods_id, goods_number):
            await self._open_cart(key)
            await self._put_line(key, goods_id, goods_number)
        return await self.get(key)

    async def delete(self, key: CartKey, goods_id: int) -> PricedCart:
        """Take goods out of a cart; a repeat changes nothing."""
        async with self._database.write() as connection:
            await storage.delete_lines(connection, key, [goods_id])
        return await self.get(key)

    async def clear(self, key: CartKey) -> None:
        """Empty a cart."""
        async with self._database.write() as connection:
            await storage.delete_all_lines(connection, key)

    async def get(self, key: CartKey) -> PricedCart:
        """Read a cart, with what its goods are and cost now."""
        async with self._database.read() as connection:
            lines = await storage.read_lines(connection, key)
        return price_cart(list(lines.values()), await self._goods.get(key.brand_id, lines))

    async def take_out_bought(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Take what confirmed orders bought out of their users' carts: the effect of order.confirmed.

        What was put in again before the message came goes too; a cart reserves nothing, so that nothing is lost by it.
        """
        bought: dict[CartKey, set[int]] = {}
        for message in messages:
            key, goods_ids = _read_bought(message)
            bought.setdefault(key, set()).update(goods_ids)
        for key in sorted(bought, key=astuple):
            await storage.delete_lines(connection, key, bought[key])

    async def _put_line(self, key: CartKey, goods_id: int, goods_number: int) -> bool:
        """Put a line in; answer whether there is a cart. Raises CART_FULL."""
        async with self._database.write() as connection:
            position = await storage.lock_cart(connection, key)
            if position is None:
                return False
            lines = await storage.read_lines(connection, key)
            refusal = refuse_line(goods_id, lines)
            if refusal is not None:
                raise refusals.cart_refused(goods_id, refusal)
            if goods_id in lines:
                await storage.update_line(connection, key, goods_id, goods_number)
            else:
                now_ms = await self._database.now_ms(connection)
                await storage.insert_line(connection, key, CartLine(goods_id, goods_number, position + 1, now_ms))
        return True

    async def _open_cart(self, key: CartKey) -> None:
        """Make a user's cart exist, by itself: of many who do so at once none then waits for a lock of another."""
        async with self._database.write() as connection:
            await self._database.insert_ignore(connection, tables.cart, [storage.cart_row(key)])


def _read_bought(message: ReceivedMessage) -> tuple[CartKey, list[int]]:
    """Read whose order bought which goods. Raises ValueError for a body that does not say so."""
    body = message.body()
    try:
        return CartKey(int(body["brand_id"]), int(body["user_id"])), [int(one) for one in body["goods_ids"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"the body does not say what was bought: {error!r}") from error
