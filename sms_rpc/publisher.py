"""Putting dispatches on the queue of their brand, type and mode."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mesh import telemetry
from mesh.bus.id_messages import IDS_PER_MESSAGE, publish_ids
from mesh.bus.port import Bus, BusUnavailableError
from sms_rpc.domain import SmsMode, SmsType, queue_name

_QUEUES_AT_ONCE = 100

log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class Publication:
    """One dispatch to be put on its queue."""

    dispatch_id: int
    record_count: int
    brand_id: int
    sms_type: SmsType
    mode: SmsMode

    @property
    def queue(self) -> str:
        """Where it goes."""
        return queue_name(self.brand_id, self.sms_type, self.mode)


class Publisher:
    """Publishes ids of dispatches."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, publications: Sequence[Publication]) -> list[Publication]:
        """Publish; answer those that could not be, because the bus is away."""
        by_queue: dict[str, list[Publication]] = {}
        for publication in publications:
            by_queue.setdefault(publication.queue, []).append(publication)
        queues = list(by_queue.items())
        failed: list[Publication] = []
        for start in range(0, len(queues), _QUEUES_AT_ONCE):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._to_queue(*one)) for one in queues[start : start + _QUEUES_AT_ONCE]]
            failed += [left for task in tasks for left in task.result()]
        return failed

    async def _to_queue(self, queue: str, waiting: Sequence[Publication]) -> Sequence[Publication]:
        size = IDS_PER_MESSAGE if waiting[0].mode is SmsMode.SINGLE else 1
        try:
            await publish_ids(self._bus, queue, [publication.dispatch_id for publication in waiting], size)
        except BusUnavailableError as error:
            log.warning("dispatches wait for the sweep", queue=queue, count=len(waiting), error=str(error))
            return waiting
        return []

    async def oldest_age_ms(self, queue: str) -> int:
        """Say how old the oldest message of a queue is that waits or is being worked on; 0 when there is none."""
        return int((await self._bus.depth(queue)).oldest_age_seconds * 1000)
