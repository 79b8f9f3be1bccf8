"""What orders take of stocks and give back: many orders in one transaction, each by itself.

A hundred orders of one hot article would otherwise wait for its row one after the other, a commit each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.messages import ReceivedMessage
from order_rpc.goods import refusals, storage, tables
from order_rpc.goods.domain import (
    RESERVATION_TRANSITIONS,
    Goods,
    Reservation,
    ReservationEvent,
    ReservationState,
    refuse_reservation,
)

BATCH_MAX = 500
PENDING_MAX = 20_000


@dataclass(slots=True)
class _Batch:
    """The reservations of one transaction as they are folded: what is left of each stock, and what is to be written."""

    goods: dict[int, Goods]
    states: dict[int, ReservationState]
    stock: dict[int, int]
    taken: dict[int, ReservationState]
    logs: list[tuple[int, int, int]]

    def take(self, wanted: Reservation) -> DomainError | None:
        """Take all that an order wants, or say why it cannot be had."""
        state = self.states.get(wanted.order_id)
        target = RESERVATION_TRANSITIONS.get((state, ReservationEvent.TAKE))
        if target is None:
            return refusals.stock_released(wanted.order_id)
        if target is state:
            return None
        refusal = refuse_reservation(wanted, self.goods, self.stock)
        if refusal is not None:
            return refusals.stock_refused(refusal)
        self.states[wanted.order_id] = self.taken[wanted.order_id] = target
        for goods_id, goods_number in wanted.lines:
            self.stock[goods_id] -= goods_number
            self.logs.append((goods_id, wanted.order_id, -goods_number))
        return None


class Stock:
    """Takes stock for orders, and gives it back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._taking: Coalescer[Reservation, DomainError | None] = Coalescer(
            self._take_all,
            name="the stock",
            batch_max=BATCH_MAX,
            pending_max=PENDING_MAX,
            poison=(sqlalchemy.exc.IntegrityError,),
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._taking.close()

    async def take(self, wanted: Reservation) -> None:
        """Take the stock of an order, all of it or none; a repeat changes nothing.

        Raises GOODS_NOT_FOUND, GOODS_NOT_ON_SALE, STOCK_SHORT, and STOCK_RELEASED for an order that was cancelled.
        """
        refusal = await self._taking.submit(wanted)
        if refusal is not None:
            raise refusal

    async def _take_all(self, wanted: Sequence[Reservation]) -> Sequence[DomainError | None]:
        try:
            return await self._take_in_one(wanted)
        except sqlalchemy.exc.IntegrityError:
            # Another process was first with one of the orders, and what it wrote is seen now.
            return await self._take_in_one(wanted)

    async def _take_in_one(self, wanted: Sequence[Reservation]) -> Sequence[DomainError | None]:
        async with self._database.write() as connection:
            # Reservations before goods, each in the order of their ids, as those who give back do.
            states = await storage.lock_reservations(connection, [one.order_id for one in wanted])
            goods = await storage.lock_goods(connection, {goods_id for one in wanted for goods_id, _ in one.lines})
            batch = _Batch(goods, states, {one.goods_id: one.goods_number for one in goods.values()}, {}, [])
            answers = [batch.take(one) for one in wanted]
            answers = await _look_again(connection, wanted, answers)
            now_ms = await self._database.now_ms(connection)
            await storage.insert_reservations(connection, batch.taken)
            changed = sorted({goods_id for goods_id, _, _ in batch.logs})
            await storage.write_stock(connection, {goods_id: batch.stock[goods_id] for goods_id in changed})
            await storage.insert_logs(connection, batch.logs, now_ms)
        return answers

    async def release_all(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Give back what cancelled orders took, and let them take nothing any more: the effect of order.cancelled."""
        order_ids = {int(message.key) for message in messages}
        states = await storage.lock_reservations(connection, order_ids)
        await self._give_back(connection, states)
        unknown = sorted(order_ids - states.keys())
        if unknown:
            # Written once the goods are held, as by those who take: nobody waits for goods with a row that is wanted.
            state = RESERVATION_TRANSITIONS[None, ReservationEvent.RELEASE].value
            rows = [{"order_id": order_id, "state": state} for order_id in unknown]
            await self._database.insert_ignore(connection, tables.stock_reservation, rows)
            # Another process may have been first with one of them, and has taken its stock.
            await self._give_back(connection, await storage.lock_reservations(connection, unknown))

    async def _give_back(self, connection: AsyncConnection, states: Mapping[int, ReservationState]) -> None:
        """Give back what those of locked reservations took that are taken, and move them on."""
        taken = [order_id for order_id, state in states.items() if state is ReservationState.TAKEN]
        if not taken:
            return
        logs = await storage.read_logs_of_orders(connection, taken)
        goods = await storage.lock_goods(connection, {log.goods_id for log in logs})
        stock = {one.goods_id: one.goods_number for one in goods.values()}
        for log in logs:
            stock[log.goods_id] -= log.goods_number
        now_ms = await self._database.now_ms(connection)
        await storage.release_reservations(connection, taken)
        await storage.write_stock(connection, stock)
        await storage.insert_logs(connection, [(log.goods_id, log.order_id, -log.goods_number) for log in logs], now_ms)


async def _look_again(
    connection: AsyncConnection, wanted: Sequence[Reservation], answers: Sequence[DomainError | None]
) -> list[DomainError | None]:
    """Take a refusal back where the order has its stock: another process may have been first with the same wish."""
    refused = [one.order_id for one, answer in zip(wanted, answers, strict=True) if answer is not None]
    # Goods are held by now, and who holds a reservation may wait for them.
    states = await storage.read_reservations(connection, refused)
    return [
        None if states.get(one.order_id) is ReservationState.TAKEN else answer
        for one, answer in zip(wanted, answers, strict=True)
    ]
