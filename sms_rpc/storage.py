"""Rows in, rows out. Every function takes a connection whose transaction the caller opened."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import insert_rows
from mesh.statements import execute_many, in_lists, read_in, read_pairs, select_in
from sms_rpc.domain import (
    UNPUBLISHED_MS,
    DispatchEvent,
    DispatchState,
    NewDispatch,
    Record,
    RecordEvent,
    RecordStatus,
    SmsMode,
    SmsType,
    Task,
    dispatch_sources,
    record_sources,
    record_targets,
)
from sms_rpc.tables import block, brand, dispatch, record, task

LIST_SCAN_MAX = 50_000
"""Records that one page looks through for a status, so that a rare one cannot make it slow: AIP-158 lets a page be
short, or even empty, as long as its token goes on."""

_TIME_OF: Mapping[RecordStatus, str] = {
    RecordStatus.QUEUED: "queued_at_ms",
    RecordStatus.CHARGED: "charged_at_ms",
    RecordStatus.SUBMITTED: "submitted_at_ms",
    RecordStatus.UNKNOWN: "unknown_at_ms",
    RecordStatus.DELIVERED: "settled_at_ms",
    RecordStatus.FAILED: "settled_at_ms",
    RecordStatus.CANCELLED: "settled_at_ms",
    RecordStatus.UNCONFIRMED: "settled_at_ms",
}
"""Where each status notes when it was reached."""


_BRANDS = select_in(brand, "brand_id")
_TASKS = select_in(task, "task_id")
_RECORDS = select_in(record, "record_id")
_RECORDS_OF_RANGE = (
    sa.select(record)
    .where(record.c.record_id >= sa.bindparam("first_id"), record.c.record_id < sa.bindparam("end_id"))
    .order_by(record.c.record_id)
)


async def read_brands(connection: AsyncConnection, brand_ids: Collection[int]) -> dict[int, bool]:
    """Answer for each brand that exists whether it may send abroad."""
    return {row.brand_id: row.international for row in await read_in(connection, _BRANDS, brand_ids)}


async def read_tasks_by_request(
    connection: AsyncConnection, requests: Collection[tuple[int, str]]
) -> dict[tuple[int, str], Task]:
    """Find the tasks that these (brand_id, request_id) made."""
    rows = await read_pairs(connection, task, ("brand_id", "request_id"), requests)
    return {(row.brand_id, row.request_id): _task(row) for row in rows}


async def read_task(connection: AsyncConnection, brand_id: int, task_id: int) -> Task | None:
    """Read one task of a brand."""
    statement = sa.select(task).where(task.c.task_id == task_id, task.c.brand_id == brand_id)
    row = (await connection.execute(statement)).one_or_none()
    return _task(row) if row else None


async def read_blocked(connection: AsyncConnection, phones: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Answer those of the phones, given as (brand_id, phone), that are on the block list of their brand."""
    rows = await read_pairs(connection, block, ("brand_id", "phone"), phones)
    return {(row.brand_id, row.phone) for row in rows}


async def insert_tasks(connection: AsyncConnection, tasks: Sequence[Task]) -> None:
    """Store tasks. Raises IntegrityError when one of their request ids is taken."""
    rows = [(*one[:4], one.sms_type.value, one.mode.value, *one[6:]) for one in tasks]
    await insert_rows(connection, task, Task._fields, rows)


async def insert_records(connection: AsyncConnection, records: Sequence[Record]) -> None:
    """Store records."""
    rows = [(*one[:4], encode_params(one.params), one.segments, one.status.value, *one[7:]) for one in records]
    await insert_rows(connection, record, Record._fields, rows)


async def insert_dispatches(connection: AsyncConnection, dispatches: Sequence[NewDispatch]) -> None:
    """Store dispatches."""
    await insert_rows(connection, dispatch, NewDispatch._fields, dispatches)


async def move_records(
    connection: AsyncConnection,
    event: RecordEvent,
    ranges: Sequence[tuple[int, int]],
    *,
    now_ms: int,
    values: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Take records through one event of RECORD_TRANSITIONS, those whose status takes it.

    `ranges` are (first id, count); `values` holds further columns to set, one mapping a range, all with the same names.
    """
    if not ranges:
        return
    further = values or [{}] * len(ranges)
    rows = [
        {
            "first_id": first,
            "end_id": first + count,
            "now_ms": now_ms,
            **{f"to_{name}": value for name, value in one.items()},
        }
        for (first, count), one in zip(ranges, further, strict=True)
    ]
    await execute_many(connection, _move_statement(event, tuple(further[0])), rows)


@cache
def _move_statement(event: RecordEvent, names: tuple[str, ...]) -> sa.Update:
    """Build the compare-and-set of one event, setting further columns `names`."""
    targets = record_targets(event)
    now_ms = sa.bindparam("now_ms", type_=sa.BigInteger)
    assignments: dict[str, Any] = {name: sa.bindparam(f"to_{name}") for name in names}
    for name in {_TIME_OF[target] for target in targets.values() if target in _TIME_OF}:
        assignments[name] = _time_reached(name, targets, now_ms)
    if event is RecordEvent.CHARGE:
        # A consumer may be faster than the note that the message was queued.
        assignments["queued_at_ms"] = sa.case((record.c.queued_at_ms == 0, now_ms), else_=record.c.queued_at_ms)
    # Last, because MariaDB assigns one after the other, and the times look at the status that was.
    assignments["status"] = sa.case(
        *[(record.c.status == source.value, target.value) for source, target in targets.items()]
    )
    return (
        sa.update(record)
        .where(
            record.c.record_id >= sa.bindparam("first_id"),
            record.c.record_id < sa.bindparam("end_id"),
            _has_status(record_sources(event)),
        )
        .ordered_values(*assignments.items())
    )


def _has_status(statuses: Iterable[RecordStatus]) -> sa.ColumnElement[bool]:
    """Whether a record has one of the statuses. IN would not do: its lists cannot be used in an executemany."""
    return sa.or_(*[record.c.status == status.value for status in statuses])


_NOTE_LATE_SUBMISSION = (
    sa.update(record)
    .where(
        record.c.record_id >= sa.bindparam("first_id"),
        record.c.record_id < sa.bindparam("end_id"),
        _has_status([RecordStatus.DELIVERED, RecordStatus.FAILED]),
        record.c.submitted_at_ms == 0,
        record.c.charged_at_ms > 0,
    )
    .values(submitted_at_ms=record.c.settled_at_ms, provider_message_id=sa.bindparam("to_provider_message_id"))
)


async def note_late_submissions(
    connection: AsyncConnection,
    ranges: Sequence[tuple[int, int]],
    values: Sequence[Mapping[str, Any]],
) -> None:
    """Complete records whose receipt came before their submission was recorded. Their status stays.

    The provider had them at the latest when the receipt came, so that is noted as the time.
    """
    if not ranges:
        return
    rows = [
        {"first_id": first, "end_id": first + count, "to_provider_message_id": one["provider_message_id"]}
        for (first, count), one in zip(ranges, values, strict=True)
    ]
    await execute_many(connection, _NOTE_LATE_SUBMISSION, rows)


def _time_reached(
    name: str, targets: Mapping[RecordStatus, RecordStatus], now_ms: sa.ColumnElement[int]
) -> sa.ColumnElement[int]:
    """Note the time in column `name` where a status of that column is reached; what was there before keeps its time."""
    reached = [source for source, to in targets.items() if source is not to and _TIME_OF.get(to) == name]
    if len(reached) == len(targets):
        return now_ms
    return sa.case((_has_status(reached), now_ms), else_=record.c[name])


async def read_records(connection: AsyncConnection, first_id: int, count: int) -> list[Record]:
    """Read consecutive records."""
    rows = await connection.execute(_RECORDS_OF_RANGE, {"first_id": first_id, "end_id": first_id + count})
    return [to_record(row) for row in rows]


async def read_records_by_id(connection: AsyncConnection, record_ids: Collection[int]) -> dict[int, Record]:
    """Read single records."""
    return {row.record_id: to_record(row) for row in await read_in(connection, _RECORDS, record_ids)}


async def count_cancelled(connection: AsyncConnection, first_id: int, count: int) -> tuple[int, int]:
    """Count the cancelled records of a range, and those that are neither cancelled nor blocked."""
    statement = (
        sa.select(record.c.status, sa.func.count().label("number"))
        .where(record.c.record_id >= first_id, record.c.record_id < first_id + count)
        .group_by(record.c.status)
    )
    counts = {row.status: row.number for row in await connection.execute(statement)}
    cancelled = counts.pop(RecordStatus.CANCELLED.value, 0)
    counts.pop(RecordStatus.BLOCKED.value, 0)
    return cancelled, sum(counts.values())


async def count_open(connection: AsyncConnection, dispatch_ids: Sequence[int]) -> dict[int, int]:
    """Count the records of dispatches that wait for a receipt. Dispatches without any are left out."""
    counts: dict[int, int] = {}
    for wanted in in_lists(dispatch_ids):
        statement = (
            sa.select(dispatch.c.dispatch_id, sa.func.count())
            .join_from(
                dispatch,
                record,
                sa.and_(
                    record.c.record_id >= dispatch.c.dispatch_id,
                    record.c.record_id < dispatch.c.dispatch_id + dispatch.c.record_count,
                ),
            )
            .where(
                dispatch.c.dispatch_id.in_(wanted),
                _has_status(record_sources(RecordEvent.SETTLE)),
            )
            .group_by(dispatch.c.dispatch_id)
        )
        counts.update((row[0], row[1]) for row in await connection.execute(statement))
    return counts


async def delete_records(connection: AsyncConnection, ranges: Sequence[tuple[int, int]]) -> None:
    """Remove records of a send that was never accepted."""
    if not ranges:
        return
    statement = sa.delete(record).where(
        record.c.record_id >= sa.bindparam("first_id"), record.c.record_id < sa.bindparam("end_id")
    )
    await connection.execute(statement, [{"first_id": first, "end_id": first + count} for first, count in ranges])


async def read_message(connection: AsyncConnection, brand_id: int, record_id: int) -> tuple[Record, Task] | None:
    """Read one message of a brand with its task."""
    statement = sa.select(record).where(record.c.record_id == record_id, record.c.brand_id == brand_id)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    found = await read_task(connection, brand_id, row.task_id)
    return (to_record(row), found) if found else None


async def list_messages(
    connection: AsyncConnection,
    brand_id: int,
    *,
    task_id: int,
    phone: str,
    status: RecordStatus | None,
    before_id: int,
    limit: int,
) -> tuple[list[tuple[Record, Task]], int]:
    """Read messages newest first, below `before_id`; answer them, and where the look ended if it went no further."""
    # Records of a large send have no task until all of them are stored.
    is_accepted = sa.exists().where(task.c.task_id == record.c.task_id)
    wanted = sa.select(record).where(record.c.brand_id == brand_id, record.c.record_id < before_id, is_accepted)
    if task_id:
        owner = await read_task(connection, brand_id, task_id)
        end_id = task_id + (owner.accepted_count + owner.blocked_count if owner else 0)
        wanted = wanted.where(record.c.record_id >= task_id, record.c.record_id < end_id)
    if phone:
        wanted = wanted.where(record.c.phone == phone)
    scan = wanted.order_by(record.c.record_id.desc()).limit(LIST_SCAN_MAX).subquery()
    statement = sa.select(scan).order_by(scan.c.record_id.desc()).limit(limit)
    if status is not None:
        statement = statement.where(scan.c.status == status.value)
    records = [to_record(row) for row in await connection.execute(statement)]
    scan_end = 0
    if status is not None and len(records) < limit:
        counted = sa.select(sa.func.count(), sa.func.min(scan.c.record_id)).select_from(scan)
        scanned, lowest = (await connection.execute(counted)).one()
        scan_end = lowest if scanned == LIST_SCAN_MAX else 0
    tasks = await read_tasks(connection, {one.task_id for one in records})
    return [(one, tasks[one.task_id]) for one in records], scan_end


async def read_tasks(connection: AsyncConnection, task_ids: Collection[int]) -> dict[int, Task]:
    """Read tasks by id."""
    return {row.task_id: _task(row) for row in await read_in(connection, _TASKS, task_ids)}


async def finish_loading(connection: AsyncConnection, task_id: int, state: DispatchState) -> None:
    """Hand the dispatches of a large send over to the consumers, or to its schedule."""
    statement = sa.update(dispatch).where(
        dispatch.c.task_id == task_id, dispatch.c.state == DispatchState.LOADING.value
    )
    await connection.execute(statement.values(state=state.value))


async def withhold_dispatches(connection: AsyncConnection, dispatch_ids: Sequence[int], *, look_at_ms: int) -> None:
    """Take queued dispatches back to wait for the sweep. Reports that nobody holds wait for it as they are."""
    sources = [dispatch.c.state == state.value for state in dispatch_sources(DispatchEvent.WITHHOLD)]
    ids = [{"id": dispatch_id} for dispatch_id in dispatch_ids]
    wanted = sa.update(dispatch).where(dispatch.c.dispatch_id == sa.bindparam("id"))
    queued = wanted.where(sa.or_(*sources)).values(state=DispatchState.WAITING.value, look_at_ms=look_at_ms)
    await connection.execute(queued, ids)
    reports = wanted.where(dispatch.c.state == DispatchState.REPORTING.value, dispatch.c.consumer == "")
    await connection.execute(reports.values(look_at_ms=UNPUBLISHED_MS), ids)


async def delete_dispatches(connection: AsyncConnection, dispatch_ids: Collection[int]) -> None:
    """Remove dispatches that nobody has to act on any more."""
    for wanted in in_lists(dispatch_ids):
        await connection.execute(sa.delete(dispatch).where(dispatch.c.dispatch_id.in_(wanted)))


def _task(row: Any) -> Task:
    return Task._make((*row[:4], SmsType(row[4]), SmsMode(row[5]), *row[6:]))


def to_record(row: Any) -> Record:
    """Read one row."""
    return Record._make((*row[:4], decode_params(row[4]), row[5], RecordStatus(row[6]), *row[7:]))


def encode_params(params: Sequence[str]) -> str:
    """Write the values of a variable send; empty for a plain one."""
    return json.dumps(params, ensure_ascii=False, separators=(",", ":")) if params else ""


def decode_params(text: str) -> tuple[str, ...]:
    """Read what `encode_params` wrote."""
    return tuple(json.loads(text)) if text else ()
