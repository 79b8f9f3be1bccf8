"""Ids that grow with time, are unique across processes, and come in consecutive runs."""

from __future__ import annotations

import asyncio
import time

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database

_MILLISECOND_SHIFT = 12
_BLOCK = 4096
_BLOCK_LIFETIME_SECONDS = 1.0


def id_block_table(metadata: sa.MetaData, name: str = "id_block") -> sa.Table:
    """The one-row table that the blocks of a service come from. Its migration creates the row as (1, 0)."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("next_id", sa.BigInteger, nullable=False),
    )


def first_id_at(now_ms: int) -> int:
    """The first id that belongs to a time, in milliseconds since 1970 UTC: what had ids before has lower ones."""
    return now_ms << _MILLISECOND_SHIFT


class IdAllocator:
    """Takes blocks of ids from the service's database.

    A block starts at the later of "where the last one ended" and "now", so ids sort by time to about a second across
    processes, never repeat whatever the clocks do, and need no configuration of node numbers.
    """

    def __init__(self, database: Database, table: sa.Table) -> None:
        self._database = database
        self._table = table
        self._lock = asyncio.Lock()
        self._next = 0
        self._end = 0
        self._taken_at_seconds = 0.0

    async def allocate(self, count: int) -> int:
        """Answer the first of `count` consecutive ids."""
        async with self._lock:
            stale = time.monotonic() - self._taken_at_seconds > _BLOCK_LIFETIME_SECONDS
            if stale or self._next + count > self._end:
                size = max(count, _BLOCK)
                self._next = await self._take_block(size)
                self._end = self._next + size
                self._taken_at_seconds = time.monotonic()
            first = self._next
            self._next += count
            return first

    async def allocate_within(self, connection: AsyncConnection, count: int) -> int:
        """Answer the first of `count` consecutive ids, taken in the caller's transaction.

        For those who learn within one that they need ids: `allocate` has a transaction of its own, which SQLite's one
        writer would wait for in vain. Others wait for their next block until the caller's transaction ends.
        """
        column = self._table.c.next_id
        statement = sa.select(column).where(self._table.c.id == 1).with_for_update()
        last = (await connection.execute(statement)).scalar_one()
        now_ms = await self._database.now_ms(connection)
        first = max(int(last), first_id_at(now_ms))
        await connection.execute(sa.update(self._table).values(next_id=first + count))
        return first

    async def _take_block(self, size: int) -> int:
        async with self._database.write() as connection:
            return await self.allocate_within(connection, size)
