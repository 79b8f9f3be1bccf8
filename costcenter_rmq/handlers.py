"""Applying stored releases and receipts. A failed one is written to its queue again until it succeeds."""

from __future__ import annotations

import json
from collections.abc import Sequence

from costcenter_rmq.clients import BATCH_MAX, CostCenterJobs
from mesh.bus.port import Delivery
from mesh.worker import Dead, Done, Outcome, Retry


class JobHandler:
    """Works on messages that name jobs."""

    def __init__(self, jobs: CostCenterJobs) -> None:
        self._jobs = jobs

    async def handle(self, _queue: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Apply the jobs of many messages together; a message is done when all of its jobs are."""
        named = [_read_ids(delivery.body) for delivery in deliveries]
        wanted = list(dict.fromkeys(job_id for ids in named for job_id in ids or ()))
        settled: dict[int, bool] = {}
        for start in range(0, len(wanted), BATCH_MAX):
            chunk = wanted[start : start + BATCH_MAX]
            settled.update(zip(chunk, await self._jobs.apply(chunk), strict=True))
        return [_outcome(ids, settled) for ids in named]


def _outcome(ids: list[int] | None, settled: dict[int, bool]) -> Outcome:
    if ids is None:
        return Dead("MALFORMED")
    return Done() if all(settled[job_id] for job_id in ids) else Retry("NOT_APPLIED")


def _read_ids(body: bytes) -> list[int] | None:
    try:
        ids = json.loads(body)["ids"]
    except (ValueError, KeyError, TypeError):
        return None
    is_ids = isinstance(ids, list) and all(type(one) is int and one > 0 for one in ids)
    return ids if is_ids else None
