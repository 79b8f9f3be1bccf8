"""A flash sale as one writes it first: each attempt is a transaction that locks the sale's row.

It does less than the service (no coins, no messages, no remembered requests) and is spared gRPC: its callers are in its
process. It has the same database, driver, durability and isolation, a connection for each caller, and statements that
are compiled once.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import sqlalchemy as sa

from bench.engine_choice import DatabaseEngine
from bench.local import empty_directory
from bench.naive import CALLERS, Begin, transactions
from bench.rate import rate

_NAME = "naive"


_metadata = sa.MetaData()
_sale = sa.Table(
    "sale",
    _metadata,
    sa.Column("sale_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("stock", sa.BigInteger, nullable=False),
)
_bought = sa.Table(
    "bought",
    _metadata,
    sa.Column("sale_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
)
_LOCK = sa.select(_sale.c.stock).where(_sale.c.sale_id == sa.bindparam("sale")).with_for_update()
_FIND = sa.select(_bought.c.user_id).where(
    _bought.c.sale_id == sa.bindparam("sale"), _bought.c.user_id == sa.bindparam("user")
)
_SET = sa.update(_sale).where(_sale.c.sale_id == sa.bindparam("sale")).values(stock=sa.bindparam("left"))


class NaiveFlashSale:
    """Sells one to each user, until there is none left."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    async def open(self, sale_id: int, stock: int) -> None:
        """Begin a sale."""
        async with self._begin() as connection:
            await connection.execute(sa.insert(_sale), {"sale_id": sale_id, "stock": stock})

    async def buy(self, sale_id: int, user_id: int) -> bool:
        """Buy one; answer whether there was one for this user."""
        async with self._begin() as connection:
            stock = (await connection.execute(_LOCK, {"sale": sale_id})).scalar_one()
            if stock < 1 or (await connection.execute(_FIND, {"sale": sale_id, "user": user_id})).first():
                return False
            await connection.execute(sa.insert(_bought), {"sale_id": sale_id, "user_id": user_id})
            await connection.execute(_SET, {"sale": sale_id, "left": stock - 1})
        return True

    async def sold(self, sale_id: int) -> tuple[int, int]:
        """Answer how many are left, and how many users have one."""
        count = sa.select(sa.func.count()).select_from(_bought).where(_bought.c.sale_id == sale_id)
        async with self._begin() as connection:
            left = (await connection.execute(_LOCK, {"sale": sale_id})).scalar_one()
            return left, (await connection.execute(count)).scalar_one()


async def best_rate(database: DatabaseEngine, attempts: Sequence[int], stock: int) -> float:
    """Let users try, in this order, by each number of callers; answer the attempts a second of the best."""
    async with running_naive(database) as sale:
        return max([await _rate(sale, number, attempts, stock) for number in CALLERS])


async def _rate(sale: NaiveFlashSale, callers: int, attempts: Sequence[int], stock: int) -> float:
    await sale.open(callers, stock)
    users = iter(attempts)
    found = await rate(lambda: sale.buy(callers, next(users)), callers=callers, times=len(attempts))
    if await sale.sold(callers) != (0, stock):
        raise AssertionError("the naive sale did not sell what there was")
    return found


def tries(attempts: int, users: int) -> list[int]:
    """Answer who tries when: each user as often as the others, in an order that is random and always the same."""
    order = [number % users for number in range(attempts)]
    random.Random(1).shuffle(order)  # noqa: S311  # the same load in each run
    return order


@asynccontextmanager
async def running_naive(database: DatabaseEngine) -> AsyncIterator[NaiveFlashSale]:
    """Make it on empty tables of `database`."""
    async with AsyncExitStack() as stack:
        state = stack.enter_context(empty_directory())
        url = await stack.enter_async_context(database.databases(state, [_NAME]))
        begin = await stack.enter_async_context(transactions(url.replace("{service}", _NAME)))
        async with begin() as connection:
            await connection.run_sync(_metadata.create_all)
        yield NaiveFlashSale(begin)
