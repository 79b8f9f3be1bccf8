"""Putting records on the delayed queue of their brand."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mesh import telemetry
from mesh.bus.id_messages import publish_ids
from mesh.bus.port import Bus, BusUnavailableError
from mesh.database import Database
from messagecenter_rpc import storage
from messagecenter_rpc.domain import Record, RecordEvent, queue_name

log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class Publication:
    """Records of one content, to be tried at one time. They share queue messages with no other content."""

    brand_id: int
    record_ids: Sequence[int]
    at_ms: int


def publications(records: Iterable[Record]) -> list[Publication]:
    """Group records by their content and by when they are to be tried."""
    groups: dict[tuple[int, int, int, int, int], list[int]] = {}
    for one in records:
        key = (one.brand_id, one.next_at_ms, one.call_id, one.channel, one.repeat_number)
        groups.setdefault(key, []).append(one.record_id)
    return [Publication(brand_id, ids, at_ms) for (brand_id, at_ms, *_), ids in groups.items()]


class Publisher:
    """Publishes ids of records whose rows are committed as queued."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def publish(self, waiting: Sequence[Publication], now_ms: int) -> int:
        """Publish, each at its time; note what cannot be, because the bus is away. Answer how many records could.

        `now_ms` is the database's time when their rows were written.
        """
        if any(one.at_ms > now_ms for one in waiting):
            # What the commit took would be added to every delay.
            now_ms = await self._now_ms()
        began = time.monotonic()
        published = 0
        for position, one in enumerate(waiting):
            delay_seconds = max(0.0, (one.at_ms - now_ms) / 1000 - (time.monotonic() - began))
            try:
                await publish_ids(self._bus, queue_name(one.brand_id), one.record_ids, delay_seconds=delay_seconds)
            except BusUnavailableError as error:
                # Not tried one by one: each would take as long to fail.
                await self._withhold(waiting[position:], str(error))
                break
            published += len(one.record_ids)
        return published

    async def oldest_age_ms(self, brand_id: int) -> int:
        """Say for how long the oldest message of a queue has been due; 0 if none is. Raises BusUnavailableError."""
        return int((await self._bus.depth(queue_name(brand_id))).oldest_age_seconds * 1000)

    async def _now_ms(self) -> int:
        async with self._database.read() as connection:
            return await self._database.now_ms(connection)

    async def _withhold(self, withheld: Sequence[Publication], error: str) -> None:
        """Note that records are not on their queue, so that the sweep puts them there."""
        record_ids = [record_id for one in withheld for record_id in one.record_ids]
        log.warning("records wait for the sweep", count=len(record_ids), error=error)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            await storage.move(connection, RecordEvent.WITHHOLD, record_ids, look_at_ms=now_ms)
