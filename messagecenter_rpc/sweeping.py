"""The safety net: what a crash, a lost message or an outage left behind is put on its queue again here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from mesh.bus.port import BusUnavailableError
from mesh.database import Database
from messagecenter_rpc import storage
from messagecenter_rpc.claiming import ids_of, is_left_behind
from messagecenter_rpc.domain import LOST_AFTER_MS, Record, RecordEvent, RecordStatus
from messagecenter_rpc.publisher import Publisher, publications
from messagecenter_rpc.tables import record

PUBLISHING_MS_MAX = 10_000
"""How long after its time a record may come to its queue. A slower one is published twice, which does no harm."""


class Sweeping:
    """One pass over everything that nobody works on, each kind bounded."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    async def sweep(self, records_max: int) -> int:
        """Publish what was withheld, what a consumer left behind and what its queue lost; answer how many records."""
        withheld = await self._overdue(RecordStatus.ACCEPTED, records_max)
        published = await self._publish(withheld, _is_withheld)
        left_behind = await self._overdue(RecordStatus.SENDING, records_max)
        unsure = {"may_be_sent": True, "attempt": record.c.attempt + 1}
        published += await self._publish(left_behind, is_left_behind, **unsure)
        lost = await self._lost(records_max)
        return published + await self._publish(lost, _is_overdue_in_queue)

    async def _overdue(self, status: RecordStatus, limit: int) -> list[Record]:
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            return await storage.read_overdue(connection, status, now_ms, limit)

    async def _publish(self, found: Sequence[Record], is_still: Callable[[Record, int], bool], **values: Any) -> int:
        """Write that they are queued, then queue them: a crash in between is found as lost."""
        if not found:
            return 0
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            locked = [one for one in await storage.lock_records(connection, ids_of(found)) if is_still(one, now_ms)]
            due = sa.case((record.c.next_at_ms > now_ms, record.c.next_at_ms), else_=now_ms)
            free = {"look_at_ms": due + LOST_AFTER_MS, "consumer": ""}
            await storage.move(connection, RecordEvent.PUBLISH, ids_of(locked), **free, **values)
        return await self._publisher.publish(publications(locked), now_ms)

    async def _lost(self, limit: int) -> list[Record]:
        """Find queued records that their queue does not have: all that is due there came later."""
        overdue = await self._overdue(RecordStatus.QUEUED, limit)
        if not overdue:
            return []
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
        oldest_at_ms = {
            brand_id: await self._oldest_at_ms(brand_id, now_ms) for brand_id in {r.brand_id for r in overdue}
        }
        lost = [one for one in overdue if _in_queue_by_ms(one) < oldest_at_ms[one.brand_id]]
        waiting = set(ids_of(overdue)) - set(ids_of(lost))
        if waiting:
            async with self._database.write() as connection:
                await storage.look_later(connection, waiting, now_ms + LOST_AFTER_MS)
        return lost

    async def _oldest_at_ms(self, brand_id: int, now_ms: int) -> int:
        """Say since when the oldest message of a queue has been due: now if none is, 0 if the bus does not tell."""
        try:
            return now_ms - await self._publisher.oldest_age_ms(brand_id)
        except BusUnavailableError:
            return 0


def _in_queue_by_ms(one: Record) -> int:
    """Say when a queued record was due in its queue for certain: at its time, or still there at the last look."""
    return one.look_at_ms - LOST_AFTER_MS + PUBLISHING_MS_MAX


def _is_overdue_in_queue(one: Record, now_ms: int) -> bool:
    return one.status is RecordStatus.QUEUED and one.look_at_ms <= now_ms


def _is_withheld(one: Record, _: int) -> bool:
    return one.status is RecordStatus.ACCEPTED
