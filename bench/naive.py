"""The ledger as one writes it first: each request is a transaction that locks the account.

It does less than the cost center (no entries, no packages, no remembered answers) and is spared gRPC: its callers are
in its process. It has the same database, driver, durability and isolation, a connection for each caller, and statements
that are compiled once.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bench.engine_choice import DatabaseEngine
from bench.local import empty_directory
from bench.rate import rate
from mesh.database import Database

CALLERS = (1, 8, 32)
BRAND_ID = 1
_NAME = "naive"
_CREDITS = 1_000_000_000

Begin = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""Opens one transaction: committed at the end of the block."""

_metadata = sa.MetaData()
_account = sa.Table(
    "account",
    _metadata,
    sa.Column("brand_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("available", sa.BigInteger, nullable=False),
    sa.Column("frozen", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
)
_freeze = sa.Table(
    "freeze",
    _metadata,
    sa.Column("request_id", sa.String(128), primary_key=True),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("num", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
)
_LOCK = sa.select(_account).where(_account.c.brand_id == sa.bindparam("brand")).with_for_update()
_FIND = sa.select(_freeze).where(_freeze.c.request_id == sa.bindparam("request"))
_CLOSE = sa.update(_freeze).where(_freeze.c.request_id == sa.bindparam("request")).values(state="PAID")
_SET = (
    sa.update(_account)
    .where(_account.c.brand_id == sa.bindparam("brand"))
    .values({name: sa.bindparam(name) for name in ("available", "frozen", "spent")})
)


class RefusedError(Exception):
    """The credit does not suffice, or the freeze is paid."""


class NaiveLedger:
    """Freezes and pays, one transaction each."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    async def open_brand(self, brand_id: int, num: int) -> None:
        """Give a brand credits."""
        async with self._begin() as connection:
            row = {"brand_id": brand_id, "available": num, "frozen": 0, "spent": 0}
            await connection.execute(sa.insert(_account), row)

    async def balance(self, brand_id: int) -> sa.Row[tuple[int, int, int, int]]:
        """Read an account's amounts."""
        async with self._begin() as connection:
            return (await connection.execute(_LOCK, {"brand": brand_id})).one()

    async def freeze(self, brand_id: int, request_id: str, num: int) -> None:
        """Hold credits. Raises RefusedError."""
        async with self._begin() as connection:
            account = (await connection.execute(_LOCK, {"brand": brand_id})).one()
            if num > account.available:
                raise RefusedError(f"{num} credits are more than the {account.available} available")
            freeze = {"request_id": request_id, "brand_id": brand_id, "num": num, "state": "FROZEN"}
            await connection.execute(sa.insert(_freeze), freeze)
            left = {"available": account.available - num, "frozen": account.frozen + num, "spent": account.spent}
            await connection.execute(_SET, {"brand": brand_id, **left})

    async def pay(self, brand_id: int, request_id: str) -> None:
        """Spend what a freeze holds. Raises RefusedError."""
        async with self._begin() as connection:
            account = (await connection.execute(_LOCK, {"brand": brand_id})).one()
            freeze = (await connection.execute(_FIND, {"request": request_id})).one()
            if freeze.state != "FROZEN":
                raise RefusedError(f"freeze {request_id} is {freeze.state}")
            await connection.execute(_CLOSE, {"request": request_id})
            spent = {"frozen": account.frozen - freeze.num, "spent": account.spent + freeze.num}
            await connection.execute(_SET, {"brand": brand_id, "available": account.available, **spent})


async def best_rate(database: DatabaseEngine, pairs: int) -> float:
    """Freeze and pay so many times by each number of callers; answer the pairs a second of the best."""
    async with running_naive(database) as ledger:
        await rate(lambda: pair(ledger), callers=max(CALLERS), times=pairs // 10)
        return max([await rate(lambda: pair(ledger), callers=callers, times=pairs) for callers in CALLERS])


_request_ids = itertools.count()


async def pair(ledger: NaiveLedger) -> None:
    """Freeze a credit and pay it."""
    request_id = str(next(_request_ids))
    await ledger.freeze(BRAND_ID, request_id, 1)
    await ledger.pay(BRAND_ID, request_id)


@asynccontextmanager
async def running_naive(database: DatabaseEngine) -> AsyncIterator[NaiveLedger]:
    """Make it on empty tables of `database`, with one brand."""
    async with AsyncExitStack() as stack:
        state = stack.enter_context(empty_directory())
        url = await stack.enter_async_context(database.databases(state, [_NAME]))
        begin = await stack.enter_async_context(transactions(url.replace("{service}", _NAME)))
        async with begin() as connection:
            await connection.run_sync(_metadata.create_all)
        ledger = NaiveLedger(begin)
        await ledger.open_brand(BRAND_ID, _CREDITS)
        yield ledger


@asynccontextmanager
async def transactions(url: str) -> AsyncIterator[Begin]:
    """Connect as the cost center does, without its question before each transaction whether the server is there."""
    database = Database(url)
    if database.is_sqlite:
        yield database.write
        await database.close()
        return
    engine = create_async_engine(database.url, pool_size=max(CALLERS), max_overflow=0, isolation_level="READ COMMITTED")
    yield engine.begin
    await engine.dispose()
