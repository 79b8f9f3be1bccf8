"""What a queue's message leads to: the records that it names are claimed, and worked on until they are settled.

The row in messagecenter_rpc is the truth at every step, so a step that fails is not repeated here for long: the lease
runs out, and the sweep puts the record back on its queue. Sending again is safe, because the message is the same in
each of its tries and Tencent drops what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from mesh import telemetry
from mesh.bus.id_messages import read_ids
from mesh.bus.port import Delivery
from mesh.errors import DomainError
from mesh.worker import Dead, Done, Outcome, Retry
from messagecenter_rmq.pipeline import Pipeline

_ID_MAX = (1 << 63) - 1

log = telemetry.logger()


class ImRecordHandler:
    """Works on records that a queue names."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._in_progress: set[int] = set()

    async def handle(self, queue: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Work on a batch of messages until each record is settled. What could not be claimed comes again."""
        messages = [_read(delivery.body) for delivery in deliveries]
        wanted = [record_id for ids in messages if not isinstance(ids, Dead) for record_id in ids]
        # A duplicate of what this process works on at the moment need not be asked for.
        ids = [record_id for record_id in dict.fromkeys(wanted) if record_id not in self._in_progress]
        self._in_progress.update(ids)
        try:
            failures = await self._work(queue, ids)
        finally:
            self._in_progress.difference_update(ids)
        return [ids if isinstance(ids, Dead) else _outcome(ids, failures) for ids in messages]

    async def _work(self, queue: str, ids: Sequence[int]) -> Mapping[int, BaseException]:
        """Work on records; answer which could not be claimed, and why."""
        answers = await self._pipeline.start(queue, ids)
        works = {answer for answer in answers if isinstance(answer, asyncio.Task)}
        if works:
            await asyncio.wait(works)
        failures = {one: answer for one, answer in zip(ids, answers, strict=True) if isinstance(answer, BaseException)}
        if failures:
            log.warning(
                "records could not be claimed", queue=queue, records=len(failures), error=str(failures[min(failures)])
            )
        return failures


def _read(body: bytes) -> list[int] | Dead:
    try:
        ids = read_ids(body)
    except ValueError as error:
        return Dead(str(error))
    if not all(0 < one <= _ID_MAX for one in ids):
        return Dead("an id is not a positive number of 64 bits")
    return ids


def _outcome(ids: Sequence[int], failures: Mapping[int, BaseException]) -> Outcome:
    """Settle a message; one of whose records any could not be claimed comes again, and finds the others done."""
    failure = next((failures[one] for one in ids if one in failures), None)
    if failure is None:
        return Done()
    if isinstance(failure, DomainError):
        return Retry(str(failure))
    raise failure
