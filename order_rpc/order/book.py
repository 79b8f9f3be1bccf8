"""The rows of orders that are placed: looked for, written and confirmed, those of many callers together.

A transaction takes some milliseconds, whether it is for one order or for a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.messages import Outbox
from order_rpc.order import messages, refusals, storage
from order_rpc.order.domain import Order, OrderEvent, OrderLine, OrderRequest, OrderStatus, Policy

BATCH_MAX = 200
PENDING_MAX = 10_000

WholeOrder: TypeAlias = tuple[Order, Sequence[OrderLine]]


class Look(NamedTuple):
    """What there is of a request, and when that was looked for."""

    found: WholeOrder | None
    now_ms: int


class OrderBook:
    """Orders until they are confirmed."""

    def __init__(self, database: Database, outbox: Outbox, policy: Policy) -> None:
        self._database = database
        self._outbox = outbox
        self._policy = policy
        self._finding: Coalescer[OrderRequest, Look] = Coalescer(
            self._find_all, name="the search for orders", batch_max=BATCH_MAX, pending_max=PENDING_MAX
        )
        self._writing: Coalescer[WholeOrder, None] = Coalescer(
            self._write_all,
            name="the order book",
            batch_max=BATCH_MAX,
            pending_max=PENDING_MAX,
            poison=(sqlalchemy.exc.IntegrityError,),
        )
        self._confirming: Coalescer[WholeOrder, Order] = Coalescer(
            self._confirm_all, name="the confirmations", batch_max=BATCH_MAX, pending_max=PENDING_MAX
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        for coalescer in (self._finding, self._writing, self._confirming):
            await coalescer.close()

    async def find(self, request: OrderRequest) -> Look:
        """Look for the order that a request made. Raises KEY_REUSED when that was another request."""
        return await self._finding.submit(request)

    async def write(self, order: Order, lines: Sequence[OrderLine]) -> None:
        """Write a new order. Raises IntegrityError when its request has made one already."""
        await self._writing.submit((order, lines))

    async def confirm(self, order: Order, lines: Sequence[OrderLine]) -> Order:
        """Confirm an order unless it is cancelled; answer it as it is then. Raises ORDER_NOT_FOUND."""
        return await self._confirming.submit((order, lines))

    async def _find_all(self, requests: Sequence[OrderRequest]) -> Sequence[Look | BaseException]:
        names = [(one.brand_id, one.user_id, one.request_id) for one in requests]
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            orders = await storage.read_orders_of_requests(connection, names)
            lines = await storage.read_lines(connection, [order.order_id for order in orders.values()])
        looks: list[Look | BaseException] = []
        for name, request in zip(names, requests, strict=True):
            order = orders.get(name)
            if order is not None and order.body_hash != request.body_hash():
                looks.append(refusals.key_reused(request.request_id))
            else:
                looks.append(Look((order, lines[order.order_id]) if order else None, now_ms))
        return looks

    async def _write_all(self, made: Sequence[WholeOrder]) -> Sequence[None]:
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            await storage.insert_orders(connection, made)
            await storage.insert_steps(connection, [(order.order_id, "CREATE", "") for order, _ in made], now_ms)
        return [None] * len(made)

    async def _confirm_all(self, made: Sequence[WholeOrder]) -> Sequence[Order | DomainError]:
        order_ids = [order.order_id for order, _ in made]
        async with self._database.write() as connection:
            locked = await storage.lock_orders(connection, order_ids)
            is_open = {order_id for order_id, one in locked.items() if one.order_status is OrderStatus.UNCONFIRMED}
            # One that was asked for twice at once is confirmed once.
            fresh = {one[0].order_id: one for one in made if one[0].order_id in is_open}
            told = await self._confirm(connection, list(fresh.values())) if fresh else False
            now = await storage.lock_orders(connection, order_ids)
        if told:
            await self._outbox.publish()
        return [now.get(order_id) or refusals.order_not_found(order_id) for order_id in order_ids]

    async def _confirm(self, connection: AsyncConnection, fresh: Sequence[WholeOrder]) -> bool:
        """Confirm orders that are open; answer whether somebody is to be told."""
        now_ms = await self._database.now_ms(connection)
        times = {"confirm_time_ms": now_ms, "expire_time_ms": now_ms + self._policy.lifetime_ms}
        for event, further in (
            (OrderEvent.CONFIRM, times),
            (OrderEvent.CONFIRM_PAID, {**times, "pay_time_ms": now_ms}),
        ):
            ids = [order.order_id for order, _ in fresh if order.confirm_event is event]
            if ids:
                await storage.move_orders(connection, ids, event, **further)
        steps = [(order.order_id, order.confirm_event.value, "") for order, _ in fresh]
        await storage.insert_steps(connection, steps, now_ms)
        lifetime_seconds = self._policy.lifetime_ms / 1000
        told = [one for order, lines in fresh for one in messages.confirmed(order, lines, lifetime_seconds)]
        await self._outbox.add(connection, told)
        return bool(told)
