"""The safety net: what a crash, a lost message or a silent carrier left behind is taken up again here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mesh.bus.port import BusUnavailableError
from mesh.database import Database
from mesh.statements import in_lists
from sms_rpc import storage
from sms_rpc.dispatching import (
    NO_RECEIPT,
    attempts_so_far,
    lock_dispatches,
    move_dispatches,
    ranges_of,
    receipts_until,
)
from sms_rpc.domain import (
    UNPUBLISHED_MS,
    DispatchEvent,
    DispatchState,
    Outcome,
    RecordEvent,
    SmsMode,
    SmsType,
)
from sms_rpc.plan import LOST_AFTER_MS
from sms_rpc.publisher import Publication, Publisher
from sms_rpc.sending import withhold
from sms_rpc.tables import dispatch

RECORDS_AT_ONCE = 10_000
"""Messages that one transaction of a pass changes at most: on SQLite nobody else writes meanwhile."""

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
        abandoned = await self._overdue(DispatchState.LOADING, dispatches_max, LOADING_MS_MAX)
        await _in_portions(self._remove_unloaded, abandoned)
        submitting = await self._overdue(DispatchState.SUBMITTING, dispatches_max)
        unknown = await _in_portions(self._give_up_submissions, submitting)
        settled = await _in_portions(self._settle, await self._overdue(DispatchState.AWAITING, dispatches_max))
        published = 0
        for state in (DispatchState.WAITING, DispatchState.CLAIMED):
            published += await _in_portions(self._publish, await self._overdue(state, dispatches_max))
        reports = await self._overdue(DispatchState.REPORTING, dispatches_max)
        published += await _in_portions(self._publish, [row for row in reports if not _may_be_queued(row)])
        queued = [*await self._overdue(DispatchState.QUEUED, dispatches_max), *filter(_may_be_queued, reports)]
        published += await _in_portions(self._publish, await self._lost(queued))
        return Swept(published, unknown, settled)

    async def _overdue(self, state: DispatchState, limit: int, for_ms: int = 0) -> Sequence[Any]:
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            statement = (
                sa.select(dispatch)
                .where(dispatch.c.state == state.value, dispatch.c.look_at_ms <= now_ms - for_ms)
                .order_by(dispatch.c.look_at_ms, dispatch.c.dispatch_id)
                .limit(limit)
            )
            return (await connection.execute(statement)).all()

    async def _publish(self, dispatch_ids: Sequence[int]) -> int:
        """Write that they are queued, then queue them: a crash in between is found as lost."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            rows = [row for row in await lock_dispatches(connection, dispatch_ids) if row.look_at_ms <= now_ms]
            free = {"look_at_ms": now_ms + LOST_AFTER_MS, "consumer": ""}
            values = [{**free, "attempt": attempts_so_far(row)} for row in rows]
            await move_dispatches(connection, DispatchEvent.PUBLISH, rows, values)
            await storage.move_records(connection, RecordEvent.PUBLISH, ranges_of(rows), now_ms=now_ms)
        failed = await self._publisher.publish([_publication(row) for row in rows])
        if failed:
            await withhold(self._database, failed)
        return len(rows) - len(failed)

    async def _lost(self, overdue: Sequence[Any]) -> Sequence[Any]:
        """Find published dispatches that their queue does not have: all of its messages came later."""
        if not overdue:
            return []
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
        queues = {_publication(row).queue for row in overdue}
        oldest_at_ms = {queue: await self._oldest_at_ms(queue, now_ms) for queue in queues}
        lost = [row for row in overdue if _in_queue_by_ms(row) < oldest_at_ms[_publication(row).queue]]
        waiting = {row.dispatch_id for row in overdue} - {row.dispatch_id for row in lost}
        if waiting:
            postpone = sa.update(dispatch).where(
                dispatch.c.state.in_([DispatchState.QUEUED.value, DispatchState.REPORTING.value]),
                # Whoever took a report meanwhile keeps its lease.
                dispatch.c.consumer == "",
            )
            async with self._database.write() as connection:
                for ids in in_lists(waiting):
                    wanted = postpone.where(dispatch.c.dispatch_id.in_(ids))
                    await connection.execute(wanted.values(look_at_ms=now_ms + LOST_AFTER_MS))
        return lost

    async def _oldest_at_ms(self, queue: str, now_ms: int) -> int:
        """Say when the oldest message of a queue was published: now if there is none, 0 if the bus does not tell."""
        try:
            return now_ms - await self._publisher.oldest_age_ms(queue)
        except BusUnavailableError:
            return 0

    async def _give_up_submissions(self, dispatch_ids: Sequence[int]) -> int:
        """Make submissions whose consumer went away unknown: whether the provider has them cannot be known here."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            locked = await lock_dispatches(connection, dispatch_ids)
            rows = [row for row in locked if _is_overdue_submission(row, now_ms)]
            values = [{"outcome": Outcome.UNKNOWN.value, "look_at_ms": receipts_until(now_ms)}] * len(rows)
            await move_dispatches(connection, DispatchEvent.LOSE, rows, values)
            reasons = [{"failure_reason": "CONSUMER_LOST"}] * len(rows)
            await storage.move_records(connection, RecordEvent.LOSE, ranges_of(rows), now_ms=now_ms, values=reasons)
        return len(rows)

    async def _settle(self, dispatch_ids: Sequence[int]) -> int:
        """Settle what waited for receipts until no more come. Those without one are all unknown, or none of them is."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            locked = await lock_dispatches(connection, dispatch_ids)
            rows = [row for row in locked if row.state == DispatchState.AWAITING]
            open_counts = await storage.count_open(connection, [row.dispatch_id for row in rows])
            reasons = [{"failure_reason": NO_RECEIPT if row.outcome == Outcome.UNKNOWN else ""} for row in rows]
            await storage.move_records(connection, RecordEvent.SETTLE, ranges_of(rows), now_ms=now_ms, values=reasons)
            lost = [row for row in rows if row.outcome == Outcome.UNKNOWN and row.dispatch_id in open_counts]
            values = [{"outcome": Outcome.LOST.value, "look_at_ms": UNPUBLISHED_MS, "consumer": ""}] * len(lost)
            await move_dispatches(connection, DispatchEvent.SETTLE, lost, values)
            done = {row.dispatch_id for row in rows} - {row.dispatch_id for row in lost}
            await storage.delete_dispatches(connection, done)
        return sum(open_counts.values())

    async def _remove_unloaded(self, dispatch_ids: Sequence[int]) -> int:
        """Remove what a crash left of a large send that was never accepted."""
        async with self._database.write() as connection:
            locked = await lock_dispatches(connection, dispatch_ids)
            rows = [row for row in locked if row.state == DispatchState.LOADING]
            await storage.delete_records(connection, ranges_of(rows))
            await storage.delete_dispatches(connection, [row.dispatch_id for row in rows])
        return len(rows)


async def _in_portions(do: Callable[[Sequence[int]], Awaitable[int]], rows: Sequence[Any]) -> int:
    """Do dispatches in portions of at most RECORDS_AT_ONCE messages, or of one dispatch; add up what was done."""
    done, portion, records = 0, list[int](), 0
    for row in rows:
        if portion and records + row.record_count > RECORDS_AT_ONCE:
            done += await do(portion)
            portion, records = [], 0
        portion.append(row.dispatch_id)
        records += row.record_count
    return done + (await do(portion) if portion else 0)


def _may_be_queued(report: Any) -> bool:
    """Whether a report was published and not taken since. One that a consumer let go is off its queue."""
    return not report.consumer and report.look_at_ms != UNPUBLISHED_MS


def _in_queue_by_ms(row: Any) -> int:
    """Say when a published dispatch was on its queue for certain: published, or still there at the last look."""
    return int(row.look_at_ms) - LOST_AFTER_MS + PUBLISHING_MS_MAX


def _is_overdue_submission(row: Any, now_ms: int) -> bool:
    return bool(row.state == DispatchState.SUBMITTING and row.look_at_ms <= now_ms)


def _publication(row: Any) -> Publication:
    return Publication(row.dispatch_id, row.record_count, row.brand_id, SmsType(row.sms_type), SmsMode(row.mode))
