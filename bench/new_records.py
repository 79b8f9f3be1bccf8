"""Waiting until new messages are settled, by their rows: a look costs the same for ten thousand brands as for one."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from bench.settled import NotDeliveredError
from mesh.database import Database
from sms_rpc.domain import RecordStatus
from sms_rpc.tables import record

_SETTLE_SECONDS_MAX = 300.0
_LOOK_SECONDS = 0.25


class NewRecords:
    """The records of an SMS service that were added since some moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last_id(self) -> int:
        """Answer the greatest id that there is; 0 in an empty table."""
        async with self._database.read() as connection:
            return int((await connection.execute(sa.select(sa.func.max(record.c.record_id)))).scalar_one() or 0)

    async def until_delivered(self, first_id: int, messages: int) -> None:
        """Wait until so many messages from this id on are delivered.

        Raises TimeoutError, and NotDeliveredError when one has another end.
        """
        async with asyncio.timeout(_SETTLE_SECONDS_MAX):
            while await self._count(first_id, record.c.settled_at_ms > 0) < messages:  # noqa: ASYNC110  # they change elsewhere
                await asyncio.sleep(_LOOK_SECONDS)
        delivered = await self._count(first_id, record.c.status == RecordStatus.DELIVERED)
        if delivered != messages:
            raise NotDeliveredError(f"{delivered} of {messages} messages are delivered")

    async def _count(self, first_id: int, condition: sa.ColumnElement[bool]) -> int:
        statement = sa.select(sa.func.count()).where(record.c.record_id >= first_id, condition)
        async with self._database.read() as connection:
            return int((await connection.execute(statement)).scalar_one())
