"""The one file that names concrete classes: what costcenter_rmq is made of."""

from __future__ import annotations

import asyncio

from costcenter_rmq.clients import CostCenterJobs
from costcenter_rmq.consumer import routes, sweeps
from costcenter_rmq.handlers import JobHandler
from costcenter_rmq.settings import Settings
from mesh.bus.connect import connect_bus
from mesh.channel import Peer
from mesh.worker import Worker


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Consume until `stop` is set."""
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="costcenter_rmq")
    peer = Peer("costcenter_rpc", settings.peer_costcenter, message_bytes_max=settings.message_bytes_max)
    jobs = CostCenterJobs(peer)
    worker = Worker(bus, routes(settings, JobHandler(jobs)))
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop, settings.drain_seconds))
        for sweep in sweeps(settings, jobs):
            group.create_task(sweep.run(stop))
    await peer.close()
    await bus.close()
