"""What consumers do with dispatches: claim, charge, record the outcome, finish. Each call does a whole batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import update_rows
from mesh.database import Database
from mesh.statements import read_in, select_in
from sms_rpc import storage
from sms_rpc.domain import (
    RECEIPT_SECONDS_MAX,
    VERDICTS,
    DispatchEvent,
    DispatchState,
    Outcome,
    Record,
    RecordEvent,
    RecordStatus,
    Task,
    dispatch_sources,
    dispatch_target,
)
from sms_rpc.tables import dispatch

_TO_SEND = frozenset({RecordStatus.ACCEPTED, RecordStatus.QUEUED, RecordStatus.CHARGED})
NO_RECEIPT = "NO_RECEIPT"
"""Failure of a message whose outcome was unknown and for which no receipt came."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A dispatch that its consumer holds. `records` are those to send, or those whose outcome is to be reported."""

    row: Any
    task: Task
    records: Sequence[Record]

    @property
    def attempt(self) -> int:
        """How often it was put back, or left behind by a consumer that may have paid it."""
        return attempts_so_far(self.row)

    @property
    def is_report(self) -> bool:
        """Whether the outcome is recorded and only has to be told."""
        return bool(self.row.state == DispatchState.REPORTING)


@dataclass(frozen=True, slots=True)
class Submission:
    """The outcome of one dispatch."""

    dispatch_id: int
    outcome: Outcome
    provider_message_id: str
    reason: str
    provider_code: str
    retry_after_seconds: int


class Dispatching:
    """The consumers' side of the records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, dispatch_ids: Sequence[int], consumer: str, lease_seconds: int) -> tuple[list[Claimed], int]:
        """Lease what may be worked on: queued, due, or left behind by a consumer whose lease is over.

        Answers when that was besides, in milliseconds.
        """
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            rows = [row for row in await lock_dispatches(connection, dispatch_ids) if _is_claimable(row, now_ms)]
            # What is due and not published yet is on its way from here on: it can no longer be cancelled.
            due = [row for row in rows if row.state == DispatchState.WAITING]
            await storage.move_records(connection, RecordEvent.PUBLISH, ranges_of(due), now_ms=now_ms)
            held = {"consumer": consumer, "look_at_ms": now_ms + lease_seconds * 1000}
            values = [{**held, "attempt": attempts_so_far(row)} for row in rows]
            await move_dispatches(connection, DispatchEvent.CLAIM, rows, values)
            claimed = await _read_claimed(connection, rows)
            empty = [one.row.dispatch_id for one in claimed if not one.records and not one.is_report]
            await storage.delete_dispatches(connection, empty)
        return [one for one in claimed if one.row.dispatch_id not in empty], now_ms

    async def record_charges(self, charges: Mapping[int, str], consumer: str, lease_seconds: int) -> list[int]:
        """Note payments; answer the dispatches that `consumer` still holds and may submit now."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            rows = await _lock_held(connection, charges, consumer, DispatchEvent.CHARGE)
            values = [
                {"payment_id": charges[row.dispatch_id], "look_at_ms": now_ms + lease_seconds * 1000} for row in rows
            ]
            await move_dispatches(connection, DispatchEvent.CHARGE, rows, values)
            payments = [{"payment_id": charges[row.dispatch_id]} for row in rows]
            await storage.move_records(connection, RecordEvent.CHARGE, ranges_of(rows), now_ms=now_ms, values=payments)
        return [row.dispatch_id for row in rows]

    async def record_submissions(self, submissions: Sequence[Submission], consumer: str) -> None:
        """Note outcomes. Those of dispatches that `consumer` no longer holds change nothing."""
        by_outcome: dict[Outcome, dict[int, Submission]] = {}
        for submission in submissions:
            by_outcome.setdefault(submission.outcome, {})[submission.dispatch_id] = submission
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            for outcome, wanted in by_outcome.items():
                event = VERDICTS[outcome].dispatch_event
                rows = await _lock_held(connection, wanted, consumer, event)
                values = [_after(row, wanted[row.dispatch_id], now_ms) for row in rows]
                await move_dispatches(connection, event, rows, values)
                await self._move_records(connection, outcome, rows, wanted, now_ms)

    async def _move_records(
        self,
        connection: AsyncConnection,
        outcome: Outcome,
        rows: Sequence[Any],
        wanted: Mapping[int, Submission],
        now_ms: int,
    ) -> None:
        event = VERDICTS[outcome].record_event
        if event is None:
            return
        told = [wanted[row.dispatch_id] for row in rows]
        values = [{"provider_message_id": one.provider_message_id, "provider_code": one.provider_code} for one in told]
        if outcome is not Outcome.SUBMITTED:
            values = [{**value, "failure_reason": one.reason} for value, one in zip(values, told, strict=True)]
        await storage.move_records(connection, event, ranges_of(rows), now_ms=now_ms, values=values)
        if outcome is Outcome.SUBMITTED:
            await storage.note_late_submissions(connection, ranges_of(rows), values)

    async def finish(self, dispatch_ids: Sequence[int]) -> None:
        """Close dispatches that the cost center has heard of: submitted ones wait for receipts, others are done."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            rows = [
                row for row in await lock_dispatches(connection, dispatch_ids) if row.state == DispatchState.REPORTING
            ]
            sent = [row for row in rows if row.outcome == Outcome.SUBMITTED]
            await move_dispatches(
                connection, DispatchEvent.REPORT, sent, [{"look_at_ms": receipts_until(now_ms)}] * len(sent)
            )
            done = [row.dispatch_id for row in rows if row.outcome != Outcome.SUBMITTED]
            await storage.delete_dispatches(connection, done)


def receipts_until(now_ms: int) -> int:
    """Say until when receipts are waited for."""
    return now_ms + RECEIPT_SECONDS_MAX * 1000


def _after(row: Any, submission: Submission, now_ms: int) -> dict[str, Any]:
    """Say what an outcome writes on its dispatch besides the state."""
    match submission.outcome:
        case Outcome.RETRY:
            look_at_ms, attempt = now_ms + submission.retry_after_seconds * 1000, row.attempt + 1
        case Outcome.UNKNOWN:
            look_at_ms, attempt = receipts_until(now_ms), row.attempt
        case _:
            look_at_ms, attempt = row.look_at_ms, row.attempt
    return {"outcome": submission.outcome.value, "look_at_ms": look_at_ms, "attempt": attempt}


def attempts_so_far(row: Any) -> int:
    """Count how often a dispatch was put back; one whose lease is over was held in vain."""
    return int(row.attempt) + int(row.state == DispatchState.CLAIMED)


def _is_claimable(row: Any, now_ms: int) -> bool:
    """Whether a dispatch is free: queued, due, or left behind by a consumer whose lease is over."""
    state = DispatchState(row.state)
    if state not in dispatch_sources(DispatchEvent.CLAIM):
        return False
    is_free = state is DispatchState.QUEUED or (state is DispatchState.REPORTING and not row.consumer)
    return is_free or bool(row.look_at_ms <= now_ms)


_DISPATCHES_TO_CHANGE = select_in(dispatch, "dispatch_id").order_by(dispatch.c.dispatch_id).with_for_update()


async def lock_dispatches(connection: AsyncConnection, dispatch_ids: Sequence[int] | Mapping[int, Any]) -> list[Any]:
    """Lock dispatches in the order of their ids, so that no two transactions wait for each other."""
    return await read_in(connection, _DISPATCHES_TO_CHANGE, set(dispatch_ids))


async def _lock_held(
    connection: AsyncConnection, dispatch_ids: Mapping[int, Any], consumer: str, event: DispatchEvent
) -> list[Any]:
    sources = dispatch_sources(event)
    rows = await lock_dispatches(connection, dispatch_ids)
    return [row for row in rows if row.consumer == consumer and DispatchState(row.state) in sources]


async def move_dispatches(
    connection: AsyncConnection, event: DispatchEvent, rows: Sequence[Any], values: Sequence[Mapping[str, Any]]
) -> None:
    """Take locked dispatches through one event of DISPATCH_TRANSITIONS, and set `values` on each."""
    if not rows:
        return
    changed = [
        (dispatch_target(DispatchState(row.state), event).value, *further.values(), row.dispatch_id, row.state)
        for row, further in zip(rows, values, strict=True)
    ]
    await update_rows(connection, dispatch, ("state", *values[0]), ("dispatch_id", "state"), changed)


def ranges_of(rows: Sequence[Any]) -> list[tuple[int, int]]:
    """Answer the record ranges of dispatches."""
    return [(row.dispatch_id, row.record_count) for row in rows]


async def _read_claimed(connection: AsyncConnection, rows: Sequence[Any]) -> list[Claimed]:
    tasks = await storage.read_tasks(connection, {row.task_id for row in rows})
    singles = await storage.read_records_by_id(connection, [row.dispatch_id for row in rows if row.record_count == 1])
    claimed = []
    for row in rows:
        if row.record_count == 1:
            records = [singles[row.dispatch_id]]
        else:
            records = await storage.read_records(connection, row.dispatch_id, row.record_count)
        claimed.append(Claimed(row, tasks[row.task_id], [one for one in records if _is_wanted(row, one)]))
    return claimed


def _is_wanted(row: Any, one: Record) -> bool:
    """Whether a record is to be sent, or its outcome to be told: a settled loss names just its own."""
    if row.state != DispatchState.REPORTING:
        return one.status in _TO_SEND
    if row.outcome == Outcome.LOST:
        return one.status is RecordStatus.FAILED and one.failure_reason == NO_RECEIPT
    return one.status is not RecordStatus.BLOCKED and one.status is not RecordStatus.CANCELLED
