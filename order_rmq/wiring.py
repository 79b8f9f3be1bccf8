"""The one file that names concrete classes: what order_rmq is made of."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from mesh.bus.connect import connect_bus
from mesh.bus.port import Bus
from mesh.channel import Peer
from mesh.forwarding import Forwarding
from mesh.worker import Worker
from order_rmq.clients import CostCenter, OrderJobs, Orders, WalletJobs
from order_rmq.consumer import message_sweeps, order_sweeps, paid_route, sweeps, wallet_sweeps
from order_rmq.flash_sales import FlashSaleJobs, flash_sale_sweeps
from order_rmq.handlers import PaidOrders
from order_rmq.payments import PaymentJobs, payment_sweeps
from order_rmq.peers import OrderPeers
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
        peers = OrderPeers(settings, stack)
        cost_center_peer = Peer(
            "costcenter_rpc", settings.peer_costcenter, message_bytes_max=settings.message_bytes_max
        )
        stack.push_async_callback(cost_center_peer.close)
        orders = OrderJobs(peers.of("sms_package"))
        forwarding = Forwarding(peers.of)
        granting = PaidOrders(orders, CostCenter(cost_center_peer), forwarding)
        # The first that takes a queue has it: forwarding takes all that others leave.
        worker = Worker(bus, [paid_route(granting), forwarding.route()])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(stop, settings.drain_seconds))
            every_seconds = settings.sweep_seconds
            for sweep in [
                *sweeps(orders, every_seconds),
                *order_sweeps(Orders(peers.of("order")), every_seconds),
                *flash_sale_sweeps(FlashSaleJobs(peers.of("flash_sale")), every_seconds),
                *wallet_sweeps(WalletJobs(peers.of("wallet")), every_seconds),
                *payment_sweeps(PaymentJobs(peers.of("payment")), every_seconds),
                *message_sweeps(peers, every_seconds),
            ]:
                tasks.create_task(sweep.run(stop))
