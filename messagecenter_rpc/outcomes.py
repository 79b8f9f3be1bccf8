"""What consumers say became of the records that they claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from messagecenter_rpc import storage
from messagecenter_rpc.domain import (
    LOST_AFTER_MS,
    TRANSITIONS,
    VERDICTS,
    Outcome,
    Record,
    RecordEvent,
    RecordStatus,
)
from messagecenter_rpc.publisher import Publisher, publications
from messagecenter_rpc.tables import record


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """One outcome of records."""

    record_ids: Sequence[int]
    outcome: Outcome
    reason: str
    detail: str
    text: str
    retry_after_seconds: int


class Outcomes:
    """Records what became of claimed records."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    async def record_all(self, outcomes: Sequence[RecordOutcome], consumer: str) -> None:
        """Note outcomes; those of records that `consumer` no longer holds change nothing.

        What is to be tried again is put on the queue after the commit; if the bus is away, by the sweep.
        """
        for portion in storage.portions(outcomes, lambda one: len(one.record_ids)):
            async with self._database.write() as connection:
                now_ms = await self._database.now_ms(connection)
                again = await self._apply(connection, portion, consumer, now_ms)
            await self._publisher.publish(publications(again), now_ms)

    async def _apply(
        self, connection: AsyncConnection, outcomes: Sequence[RecordOutcome], consumer: str, now_ms: int
    ) -> list[Record]:
        """Move records; answer those to be tried again, as they stand now."""
        wanted = [record_id for one in outcomes for record_id in one.record_ids]
        held = {
            one.record_id: one
            for one in await storage.lock_records(connection, wanted)
            if one.status is RecordStatus.SENDING and one.consumer == consumer
        }
        again: list[Record] = []
        for one in outcomes:
            # Taken out, so that the first of two outcomes of one record stands.
            records = [held.pop(record_id) for record_id in one.record_ids if record_id in held]
            next_at_ms = now_ms + one.retry_after_seconds * 1000
            for event, group in _by_event(one.outcome, records).items():
                await storage.move(
                    connection, event, [r.record_id for r in group], **_values(one, event, now_ms, next_at_ms)
                )
                if TRANSITIONS[event].target is RecordStatus.QUEUED:
                    again += [replace(r, next_at_ms=next_at_ms) for r in group]
        return again


def _by_event(outcome: Outcome, records: Sequence[Record]) -> Mapping[RecordEvent, Sequence[Record]]:
    verdict = VERDICTS[outcome]
    groups: dict[RecordEvent, list[Record]] = {}
    for one in records:
        groups.setdefault(verdict.may_be_sent if one.may_be_sent else verdict.never_sent, []).append(one)
    return groups


def _values(one: RecordOutcome, event: RecordEvent, now_ms: int, next_at_ms: int) -> dict[str, Any]:
    """Say what an outcome writes on its records besides the status."""
    values: dict[str, Any] = {"reason": one.reason, "detail": one.detail, "text": one.text, "consumer": ""}
    if TRANSITIONS[event].target is not RecordStatus.QUEUED:
        return {**values, "ended_at_ms": now_ms}
    values |= {"next_at_ms": next_at_ms, "look_at_ms": next_at_ms + LOST_AFTER_MS, "attempt": record.c.attempt + 1}
    return values | {"may_be_sent": True} if event is RecordEvent.LOSE else values
