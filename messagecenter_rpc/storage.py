"""Calls and records: rows in, rows out. Every function takes a connection whose transaction the caller opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.statements import in_lists, read_in, read_pairs, select_in
from messagecenter_rpc.domain import (
    TERMINAL,
    TRANSITIONS,
    Call,
    Channel,
    Event,
    MsgType,
    Record,
    RecordEvent,
    RecordStatus,
    SkipReason,
)
from messagecenter_rpc.tables import call, record

RECORDS_AT_ONCE = 10_000
"""Records that one transaction writes at most: on SQLite nobody else writes meanwhile."""

ItemT = TypeVar("ItemT")

_CALLS = select_in(call, "call_id")
_RECORDS_TO_CHANGE = select_in(record, "record_id").order_by(record.c.record_id).with_for_update()


def portions(items: Iterable[ItemT], records_of: Callable[[ItemT], int]) -> Iterator[list[ItemT]]:
    """Cut items in portions of at most RECORDS_AT_ONCE records, or of one item."""
    portion, records = list[ItemT](), 0
    for one in items:
        if portion and records + records_of(one) > RECORDS_AT_ONCE:
            yield portion
            portion, records = [], 0
        portion.append(one)
        records += records_of(one)
    if portion:
        yield portion


async def read_calls_by_request(
    connection: AsyncConnection, requests: Collection[tuple[int, str]]
) -> dict[tuple[int, str], Call]:
    """Find the calls that these (brand_id, request_id) made."""
    rows = await read_pairs(connection, call, ("brand_id", "request_id"), requests)
    return {(row.brand_id, row.request_id): to_call(row) for row in rows}


async def read_call(
    connection: AsyncConnection, brand_id: int, call_id: int, *, for_update: bool = False
) -> Call | None:
    """Read one call of a brand."""
    statement = sa.select(call).where(call.c.call_id == call_id, call.c.brand_id == brand_id)
    row = (await connection.execute(statement.with_for_update() if for_update else statement)).one_or_none()
    return to_call(row) if row else None


async def read_calls(connection: AsyncConnection, call_ids: Iterable[int]) -> dict[int, Call]:
    """Read calls by id."""
    return {row.call_id: to_call(row) for row in await read_in(connection, _CALLS, call_ids)}


async def list_calls(
    connection: AsyncConnection, brand_id: int, *, shop_id: int, before_id: int, limit: int
) -> list[Call]:
    """Read calls newest first, below `before_id`."""
    statement = sa.select(call).where(call.c.brand_id == brand_id, call.c.call_id < before_id)
    if shop_id:
        statement = statement.where(call.c.shop_id == shop_id)
    rows = await connection.execute(statement.order_by(call.c.call_id.desc()).limit(limit))
    return [to_call(row) for row in rows]


async def insert_calls(connection: AsyncConnection, calls: Sequence[Call]) -> None:
    """Store calls. Raises IntegrityError when one of their request ids is taken."""
    await connection.execute(sa.insert(call), [_call_row(one) for one in calls])


async def set_cancelled(connection: AsyncConnection, call_id: int, at_ms: int) -> None:
    """Note when a call was cancelled."""
    await connection.execute(sa.update(call).where(call.c.call_id == call_id).values(cancelled_at_ms=at_ms))


async def insert_records(connection: AsyncConnection, records: Sequence[Record]) -> None:
    """Store records."""
    if records:
        await connection.execute(sa.insert(record), [_fields(one) for one in records])


async def read_records(connection: AsyncConnection, one: Call, *, after_id: int, limit: int) -> list[Record]:
    """Read records of a call in the order of their times, behind `after_id`."""
    statement = (
        sa.select(record)
        .where(record.c.record_id > max(after_id, one.call_id), record.c.record_id < one.end_record_id)
        .order_by(record.c.record_id)
        .limit(limit)
    )
    return [to_record(row) for row in await connection.execute(statement)]


async def lock_records(connection: AsyncConnection, record_ids: Iterable[int]) -> list[Record]:
    """Lock records, in the order of their ids."""
    return [to_record(row) for row in await read_in(connection, _RECORDS_TO_CHANGE, record_ids)]


async def lock_open_ids(connection: AsyncConnection, one: Call) -> list[int]:
    """Lock the records of a call that a cancel stops, in the order of their ids.

    Those that may have been sent already are not among them: the consumer's check ends them, as UNKNOWN.
    """
    statement = (
        sa.select(record.c.record_id)
        .where(
            record.c.record_id >= one.first_record_id,
            record.c.record_id < one.end_record_id,
            _has_source(RecordEvent.CANCEL),
            sa.not_(record.c.may_be_sent),
        )
        .order_by(record.c.record_id)
    )
    return list((await connection.execute(statement.with_for_update())).scalars())


async def count_cancelled(connection: AsyncConnection, one: Call) -> int:
    """Count the cancelled records of a call."""
    statement = sa.select(sa.func.count()).where(
        record.c.record_id >= one.first_record_id,
        record.c.record_id < one.end_record_id,
        record.c.status == RecordStatus.CANCELLED.value,
    )
    return int((await connection.execute(statement)).scalar_one())


async def read_overdue(connection: AsyncConnection, now_ms: int, limit: int) -> list[Record]:
    """Read the records that the sweep has to look at, the longest overdue first."""
    statement = (
        sa.select(record)
        .where(record.c.look_at_ms > 0, record.c.look_at_ms <= now_ms)
        .order_by(record.c.look_at_ms, record.c.record_id)
        .limit(limit)
    )
    return [to_record(row) for row in await connection.execute(statement)]


async def look_later(connection: AsyncConnection, record_ids: Iterable[int], look_at_ms: int) -> None:
    """Put off the sweep's next look at queued records."""
    for chunk in in_lists(record_ids):
        statement = sa.update(record).where(record.c.record_id.in_(chunk), record.c.status == RecordStatus.QUEUED.value)
        await connection.execute(statement.values(look_at_ms=look_at_ms))


async def move(connection: AsyncConnection, event: RecordEvent, record_ids: Iterable[int], **values: Any) -> None:
    """Take records through one event of TRANSITIONS, those whose status takes it, and set columns `values` on them."""
    target = TRANSITIONS[event].target
    if target in TERMINAL:
        values = {**values, "look_at_ms": 0}
    # The status comes last, because MariaDB assigns one after the other and a value may look at what was.
    assignments = {**values, "status": target.value}
    for chunk in in_lists(record_ids):
        statement = sa.update(record).where(record.c.record_id.in_(chunk), _has_source(event))
        await connection.execute(statement.ordered_values(*assignments.items()))


def _has_source(event: RecordEvent) -> sa.ColumnElement[bool]:
    return record.c.status.in_([status.value for status in TRANSITIONS[event].sources])


def _call_row(one: Call) -> dict[str, Any]:
    return {
        **_fields(one),
        "channels": json.dumps(one.channels),
        "params": json.dumps(dict(one.params), ensure_ascii=False, separators=(",", ":")),
        "skipped": json.dumps(one.skipped),
    }


def _fields(one: Call | Record) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def to_call(row: Any) -> Call:
    """Read one row."""
    return Call(
        row.call_id, row.brand_id, row.request_id, row.body_hash, row.shop_id, Event(row.event),
        tuple(map(Channel, json.loads(row.channels))), json.loads(row.params), MsgType(row.msg_type),
        row.msg_template_id,
        tuple((Channel(channel), SkipReason(reason)) for channel, reason in json.loads(row.skipped)),
        row.record_count, row.created_at_ms, row.cancelled_at_ms,
    )  # fmt: skip


def to_record(row: Any) -> Record:
    """Read one row."""
    return Record(
        row.record_id, row.call_id, row.brand_id, Channel(row.channel), row.repeat_number, row.account, row.location,
        row.template_id, row.msg_random, row.due_at_ms, row.next_at_ms, row.look_at_ms, RecordStatus(row.status),
        row.reason, row.detail, row.text, row.attempt, row.may_be_sent, row.consumer, row.ended_at_ms,
    )  # fmt: skip
