"""Applying stored releases and receipts. A failed one is written to its queue again until it succeeds."""

from __future__ import annotations

from collections.abc import Sequence

from costcenter_rmq.clients import JOBS_MAX, CostCenterJobs
from mesh.bus.id_messages import read_ids
from mesh.bus.port import Delivery
from mesh.worker import Dead, Done, Outcome, Retry


class JobHandler:
    """Works on messages that name jobs."""

    def __init__(self, jobs: CostCenterJobs) -> None:
        self._jobs = jobs

    async def handle(self, _queue: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Apply the jobs of many messages together; a message is done when all of its jobs are."""
        named = [_read(delivery) for delivery in deliveries]
        wanted = list(dict.fromkeys(job_id for ids in named if not isinstance(ids, Dead) for job_id in ids))
        settled: dict[int, bool] = {}
        for start in range(0, len(wanted), JOBS_MAX):
            chunk = wanted[start : start + JOBS_MAX]
            settled.update(zip(chunk, await self._jobs.apply(chunk), strict=True))
        return [_outcome(ids, settled) for ids in named]


def _read(delivery: Delivery) -> list[int] | Dead:
    try:
        return read_ids(delivery.body)
    except ValueError as error:
        return Dead(str(error))


def _outcome(ids: list[int] | Dead, settled: dict[int, bool]) -> Outcome:
    if isinstance(ids, Dead):
        return ids
    return Done() if all(settled[job_id] for job_id in ids) else Retry("NOT_APPLIED")
