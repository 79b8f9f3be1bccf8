"""The safety net: what a crash, a lost message or an outage left behind is put on its queue again here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from mesh.bus.port import BusUnavailableError
from mesh.database import Database
from messagecenter_rpc import storage
from messagecenter_rpc.claiming import ids_of
from messagecenter_rpc.domain import LOST_AFTER_MS, Record, RecordEvent, RecordStatus
from messagecenter_rpc.publisher import Publisher, publications
from messagecenter_rpc.tables import record

PUBLISHING_MS_MAX = 10_000
"""How long after its time a record may come to its queue. A slower one is published twice, which does no harm."""


class Sweeping:
    """One pass over the records that were to be looked at by now, a bounded number of them."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    async def sweep(self, records_max: int) -> int:
        """Publish what was withheld, what its queue lost and what a consumer left behind; answer how many records."""
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            overdue = await storage.read_overdue(connection, now_ms, records_max)
        withheld = [one for one in overdue if one.status is RecordStatus.ACCEPTED]
        lost = await self._lost([one for one in overdue if one.status is RecordStatus.QUEUED], now_ms)
        left_behind = [one for one in overdue if one.status is RecordStatus.SENDING]
        published = await self._publish([*withheld, *lost])
        # Its consumer may have sent it and died before it could say so.
        return published + await self._publish(left_behind, may_be_sent=True, attempt=record.c.attempt + 1)

    async def _publish(self, found: Sequence[Record], **values: Any) -> int:
        """Write that records are queued, then queue them: a crash in between is found as lost."""
        if not found:
            return 0
        as_found = {one.record_id: one for one in found}
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            locked = await storage.lock_records(connection, as_found)
            unchanged = [one for one in locked if one == as_found[one.record_id]]
            due_ms = sa.case((record.c.next_at_ms > now_ms, record.c.next_at_ms), else_=now_ms)
            free = {"look_at_ms": due_ms + LOST_AFTER_MS, "consumer": ""}
            await storage.move(connection, RecordEvent.PUBLISH, ids_of(unchanged), **free, **values)
        return await self._publisher.publish(publications(unchanged), now_ms)

    async def _lost(self, overdue: Sequence[Record], now_ms: int) -> list[Record]:
        """Find queued records that their queue does not have: all that is due there came later."""
        brands = {one.brand_id for one in overdue}
        oldest_at_ms = {brand_id: await self._oldest_at_ms(brand_id, now_ms) for brand_id in brands}
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
