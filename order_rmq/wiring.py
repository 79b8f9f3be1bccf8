"""The one file that names concrete classes: what order_rmq is made of."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from mesh.bus.connect import connect_bus
from mesh.bus.port import Bus
from mesh.channel import Peer
from mesh.worker import Worker
from order_rmq.clients import CostCenter, OrderJobs
from order_rmq.consumer import paid_route, sweeps
from order_rmq.handlers import PaidOrders
from order_rmq.settings import Settings


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Consume until `stop` is set."""
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="order_rmq")
    try:
        await consume(settings, bus, stop)
    finally:
        await bus.close()


async def consume(settings: Settings, bus: Bus, stop: asyncio.Event) -> None:
    """Consume from `bus`, and sweep, until `stop` is set."""
    async with AsyncExitStack() as stack:
        order_peer = _connect("order_rpc", settings.peer_order, settings, stack)
        cost_center_peer = _connect("costcenter_rpc", settings.peer_costcenter, settings, stack)
        orders = OrderJobs(order_peer)
        worker = Worker(bus, [paid_route(PaidOrders(orders, CostCenter(cost_center_peer)))])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(stop, settings.drain_seconds))
            for sweep in sweeps(orders, settings.sweep_seconds):
                tasks.create_task(sweep.run(stop))


def _connect(name: str, address: str, settings: Settings, stack: AsyncExitStack) -> Peer:
    peer = Peer(name, address, message_bytes_max=settings.message_bytes_max)
    stack.push_async_callback(peer.close)
    return peer
