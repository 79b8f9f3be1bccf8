"""The one file that names concrete classes: what order_rmq is made of."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from mesh.bus.connect import connect_bus
from mesh.bus.port import Bus
from mesh.channel import Peer
from mesh.forwarding import Forwarding
from mesh.redis_connection import connect_redis
from mesh.worker import Worker
from order_rmq.clients import CostCenter, OrderJobs
from order_rmq.consumer import paid_route
from order_rmq.handlers import PaidOrders
from order_rmq.peers import OrderPeers
from order_rmq.reminders import DailyBounds, Reminders
from order_rmq.settings import Settings
from order_rmq.smtp import Smtp, SmtpAccount
from order_rmq.sweeps import sweeps


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
        forwarding = Forwarding(peers.of)
        redis = connect_redis(settings.redis_url, "order_rmq.mail", connections_max=2)
        stack.push_async_callback(redis.aclose)
        bounds = DailyBounds(
            redis,
            per_recipient=settings.reminders_per_recipient_a_day,
            per_buyer=settings.reminders_per_buyer_a_day,
        )
        # The first that takes a queue has it: forwarding takes all that others leave.
        routes = [Reminders(_smtp(settings), redis, forwarding, bounds).route(), forwarding.route()]
        if peers.has("sms_package"):
            routes.insert(0, paid_route(_granting(settings, peers, forwarding, stack)))
        worker = Worker(bus, routes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(stop, settings.drain_seconds))
            for sweep in sweeps(peers, settings.sweep_seconds):
                tasks.create_task(sweep.run(stop))


def _granting(settings: Settings, peers: OrderPeers, forwarding: Forwarding, stack: AsyncExitStack) -> PaidOrders:
    peer = Peer("costcenter_rpc", settings.peer_costcenter, message_bytes_max=settings.message_bytes_max)
    stack.push_async_callback(peer.close)
    return PaidOrders(OrderJobs(peers.of("sms_package")), CostCenter(peer), forwarding)


def _smtp(settings: Settings) -> Smtp | None:
    if not settings.smtp_host:
        return None
    account = SmtpAccount(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value(),
        sender=settings.smtp_sender,
        timeout_seconds=settings.smtp_timeout_seconds,
    )
    return Smtp(account)
