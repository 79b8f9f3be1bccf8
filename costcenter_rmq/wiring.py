"""The one file that names concrete classes: what costcenter_rmq is made of."""

from __future__ import annotations

import asyncio

from costcenter_rmq.clients import CostCenterJobs
from costcenter_rmq.handlers import JobHandler
from costcenter_rmq.settings import Settings
from mesh import telemetry
from mesh.bus.connect import connect_bus
from mesh.channel import Peer
from mesh.periodic import Periodic
from mesh.worker import RetryPolicy, Route, Worker

QUEUES = ("costcenter.release", "costcenter.receipt")

_MESSAGES_AT_ONCE = 10
_ALERT_AGE_SECONDS = 600

log = telemetry.logger()


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Consume until `stop` is set."""
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="costcenter_rmq")
    peer = Peer("costcenter_rpc", settings.peer_costcenter, message_bytes_max=settings.message_bytes_max)
    jobs = CostCenterJobs(peer)
    worker = Worker(bus, _routes(settings, JobHandler(jobs)))

    async def replay() -> None:
        backlog = await jobs.replay(settings.replay_after_seconds)
        if backlog.oldest_age_seconds > _ALERT_AGE_SECONDS:
            log.error("a job waits too long", oldest_age_seconds=backlog.oldest_age_seconds)

    periodic = [
        Periodic("replay jobs", replay, settings.sweep_seconds),
        Periodic("expire freezes", jobs.expire_freezes, settings.sweep_seconds),
        Periodic("expire packages", jobs.expire_lots, settings.lot_expiry_seconds),
    ]
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop, settings.drain_seconds))
        for job in periodic:
            group.create_task(job.run(stop))
    await peer.close()
    await bus.close()


def _routes(settings: Settings, handler: JobHandler) -> list[Route]:
    # What was promised is never given up: no attempt is the last.
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
