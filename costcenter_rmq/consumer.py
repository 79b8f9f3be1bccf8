"""What this process consumes, and what it has done by the clock."""

from __future__ import annotations

from collections.abc import Sequence

from costcenter_rmq.clients import CostCenterJobs
from costcenter_rmq.handlers import JobHandler
from costcenter_rmq.settings import Settings
from mesh import telemetry
from mesh.periodic import Periodic
from mesh.worker import RetryPolicy, Route

QUEUES = ("costcenter.release", "costcenter.receipt")

_MESSAGES_AT_ONCE = 10
_ALERT_AGE_SECONDS = 600

log = telemetry.logger()


def routes(settings: Settings, handler: JobHandler) -> Sequence[Route]:
    """Releases and receipts. What was promised is never given up: no attempt is the last."""
    retry = RetryPolicy(attempts_max=None, first_delay_seconds=1, delay_seconds_max=60)
    return [
        Route(
            name=queue,
            prefix=queue,
            handler=handler.handle,
            concurrency=settings.concurrency,
            batch_max=_MESSAGES_AT_ONCE,
            retry=retry,
        )
        for queue in QUEUES
    ]


def sweeps(settings: Settings, jobs: CostCenterJobs) -> Sequence[Periodic]:
    """What is overdue: jobs whose message was lost, freezes past their time, and once a day expired packages."""

    async def replay() -> None:
        backlog = await jobs.replay(settings.replay_after_seconds)
        if backlog.oldest_age_seconds > _ALERT_AGE_SECONDS:
            log.error("a job waits too long", oldest_age_seconds=backlog.oldest_age_seconds)

    return [
        Periodic("replay jobs", replay, settings.sweep_seconds),
        Periodic("expire freezes", jobs.expire_freezes, settings.sweep_seconds),
        Periodic("expire packages", jobs.expire_lots, settings.lot_expiry_seconds),
    ]
