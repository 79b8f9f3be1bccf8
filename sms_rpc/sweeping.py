"""The safety net: what a crash, a lost message or a silent carrier left behind is taken up again here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bus.port import BusUnavailableError
from mesh.database import Database
from sms_rpc import storage
from sms_rpc.dispatching import NO_RECEIPT, lock_dispatches, move_dispatches, ranges_of, receipts_until
from sms_rpc.domain import DispatchEvent, DispatchState, Outcome, RecordEvent, RecordStatus, SmsMode, SmsType
from sms_rpc.plan import LOST_AFTER_MS
from sms_rpc.publisher import Publication, Publisher
from sms_rpc.sending import withhold
from sms_rpc.tables import dispatch, record

PUBLISHING_MS_MAX = 10_000
"""How long after its time a dispatch may come to its queue. A slower one is published twice, which does no harm."""

LOADING_MS_MAX = 600_000
"""After this a large send that is still being stored was left by a crash."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass did."""

    published: int
    unknown: int
    settled: int


class Sweeping:
    """One pass over everything whose time has come, each kind bounded."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    async def sweep(self, dispatches_max: int) -> Swept:
        """Publish what is due or lost, make lost submissions unknown, settle what got no receipt."""
        await self._remove_unloaded(dispatches_max)
        unknown = await self._give_up_submissions(dispatches_max)
        settled = await self._settle(dispatches_max)
        published = 0
        for state in (DispatchState.WAITING, DispatchState.CLAIMED, DispatchState.REPORTING):
            published += await self._publish(await self._overdue(state, dispatches_max))
        published += await self._publish(await self._lost(dispatches_max))
        return Swept(published, unknown, settled)

    async def _overdue(self, state: DispatchState, limit: int) -> list[int]:
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            statement = (
                sa.select(dispatch.c.dispatch_id)
                .where(dispatch.c.state == state.value, dispatch.c.look_at_ms <= now_ms)
                .order_by(dispatch.c.look_at_ms)
                .limit(limit)
            )
            return list((await connection.execute(statement)).scalars())

    async def _publish(self, dispatch_ids: Sequence[int]) -> int:
        """Write that they are queued, then queue them: a crash in between is found as lost."""
        if not dispatch_ids:
            return 0
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            rows = [row for row in await lock_dispatches(connection, dispatch_ids) if row.look_at_ms <= now_ms]
            values = [{"look_at_ms": now_ms + LOST_AFTER_MS, "consumer": ""}] * len(rows)
            await move_dispatches(connection, DispatchEvent.PUBLISH, rows, values)
            await storage.move_records(connection, RecordEvent.PUBLISH, ranges_of(rows), now_ms=now_ms)
        failed = await self._publisher.publish([_publication(row) for row in rows])
        if failed:
            await withhold(self._database, failed)
        return len(rows) - len(failed)

    async def _lost(self, limit: int) -> list[int]:
        """Find queued dispatches that their queue does not have: all of its messages came later."""
        overdue = await self._overdue(DispatchState.QUEUED, limit)
        if not overdue:
            return []
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            rows = (await connection.execute(sa.select(dispatch).where(dispatch.c.dispatch_id.in_(overdue)))).all()
        queues = {_publication(row).queue for row in rows}
        oldest_at_ms = {queue: await self._oldest_at_ms(queue, now_ms) for queue in queues}
        lost = [row.dispatch_id for row in rows if _in_queue_by_ms(row) < oldest_at_ms[_publication(row).queue]]
        waiting = set(overdue) - set(lost)
        if waiting:
            postpone = sa.update(dispatch).where(
                dispatch.c.dispatch_id.in_(waiting), dispatch.c.state == DispatchState.QUEUED.value
            )
            async with self._database.write() as connection:
                await connection.execute(postpone.values(look_at_ms=now_ms + LOST_AFTER_MS))
        return lost

    async def _oldest_at_ms(self, queue: str, now_ms: int) -> int:
        """Say when the oldest message of a queue was published: now if there is none, 0 if the bus does not tell."""
        try:
            return now_ms - await self._publisher.oldest_age_ms(queue)
        except BusUnavailableError:
            return 0

    async def _give_up_submissions(self, limit: int) -> int:
        """Make submissions whose consumer went away unknown: whether the provider has them cannot be known here."""
        overdue = await self._overdue(DispatchState.SUBMITTING, limit)
        if not overdue:
            return 0
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            rows = [row for row in await lock_dispatches(connection, overdue) if _is_overdue_submission(row, now_ms)]
            values = [{"outcome": Outcome.UNKNOWN.value, "look_at_ms": receipts_until(now_ms)}] * len(rows)
            await move_dispatches(connection, DispatchEvent.LOSE, rows, values)
            reasons = [{"failure_reason": "CONSUMER_LOST"}] * len(rows)
            await storage.move_records(connection, RecordEvent.LOSE, ranges_of(rows), now_ms=now_ms, values=reasons)
        return len(rows)

    async def _settle(self, limit: int) -> int:
        """Settle what waited for receipts until no more come."""
        overdue = await self._overdue(DispatchState.AWAITING, limit)
        if not overdue:
            return 0
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            rows = [row for row in await lock_dispatches(connection, overdue) if row.state == DispatchState.AWAITING]
            settled = 0
            for row in rows:
                settled += await self._settle_one(connection, row, now_ms)
        return settled

    async def _settle_one(self, connection: AsyncConnection, row: Any, now_ms: int) -> int:
        open_records = [
            one
            for one in await storage.read_records(connection, row.dispatch_id, row.record_count)
            if one.status in {RecordStatus.SUBMITTED, RecordStatus.UNKNOWN}
        ]
        lost = [one for one in open_records if one.status is RecordStatus.UNKNOWN]
        await storage.move_records(
            connection,
            RecordEvent.SETTLE,
            [(one.record_id, 1) for one in open_records],
            now_ms=now_ms,
            values=[{"failure_reason": NO_RECEIPT if one in lost else ""} for one in open_records],
        )
        if lost:
            values = [{"outcome": Outcome.LOST.value, "look_at_ms": now_ms, "consumer": ""}]
            await move_dispatches(connection, DispatchEvent.SETTLE, [row], values)
        else:
            await storage.delete_dispatches(connection, [row.dispatch_id])
        return len(open_records)

    async def _remove_unloaded(self, limit: int) -> None:
        """Remove what a crash left of a large send that was never accepted."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            abandoned = (
                sa.select(dispatch)
                .where(
                    dispatch.c.state == DispatchState.LOADING.value,
                    dispatch.c.look_at_ms <= now_ms - LOADING_MS_MAX,
                )
                .limit(limit)
            )
            for row in (await connection.execute(abandoned)).all():
                end_id = row.dispatch_id + row.record_count
                await connection.execute(
                    sa.delete(record).where(record.c.record_id >= row.dispatch_id, record.c.record_id < end_id)
                )
                await storage.delete_dispatches(connection, [row.dispatch_id])


def _in_queue_by_ms(row: Any) -> int:
    """Say when a queued dispatch was on its queue for certain: published, or still there at the last look."""
    return int(row.look_at_ms) - LOST_AFTER_MS + PUBLISHING_MS_MAX


def _is_overdue_submission(row: Any, now_ms: int) -> bool:
    return bool(row.state == DispatchState.SUBMITTING and row.look_at_ms <= now_ms)


def _publication(row: Any) -> Publication:
    return Publication(row.dispatch_id, row.record_count, row.brand_id, SmsType(row.sms_type), SmsMode(row.mode))
