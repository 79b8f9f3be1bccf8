"""Leasing records to consumers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mesh.database import Database
from messagecenter_rpc import storage
from messagecenter_rpc.checks import Delivery, Facts
from messagecenter_rpc.domain import EARLY_MS_MAX, TRANSITIONS, Record, RecordEvent, RecordStatus
from messagecenter_rpc.tables import record


class Claiming:
    """Hands records out, each to one consumer at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, record_ids: Sequence[int], consumer: str, lease_seconds: int) -> tuple[list[Delivery], int]:
        """Lease what may be worked on: due, and free or left behind by a consumer whose lease is over.

        What another holds, what is done and what is not due yet is left out; the latter has a message of its own.
        Answers when that was besides, in milliseconds.
        """
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            locked = await storage.lock_records(connection, record_ids)
            free = [one for one in locked if is_free(one, now_ms)]
            left_behind = [one for one in locked if is_left_behind(one, now_ms)]
            held = {"consumer": consumer, "look_at_ms": now_ms + lease_seconds * 1000}
            await storage.move(connection, RecordEvent.CLAIM, ids_of(free), **held)
            # Its consumer may have sent it and died before it could say so.
            unsure = {"may_be_sent": True, "attempt": record.c.attempt + 1}
            await storage.move(connection, RecordEvent.CLAIM, ids_of(left_behind), **held, **unsure)
            claimed = [*free, *(replace(one, may_be_sent=True, attempt=one.attempt + 1) for one in left_behind)]
            facts = await Facts.read(connection, claimed, now_ms)
        return facts.deliveries(claimed), now_ms


def is_free(one: Record, now_ms: int) -> bool:
    """Whether nobody holds a record and it is time to try it."""
    is_held = one.status is RecordStatus.SENDING
    return (
        one.status in TRANSITIONS[RecordEvent.CLAIM].sources and not is_held and one.next_at_ms <= now_ms + EARLY_MS_MAX
    )


def is_left_behind(one: Record, now_ms: int) -> bool:
    """Whether a record is held by a consumer whose lease is over."""
    return one.status is RecordStatus.SENDING and one.look_at_ms <= now_ms


def ids_of(records: Sequence[Record]) -> list[int]:
    """Name records."""
    return [one.record_id for one in records]
