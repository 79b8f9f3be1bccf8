"""The one file that names concrete classes: what order_rpc is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from brandmesh.order.v1 import order_pb2
from brandmesh.order.v1.order_pb2_grpc import (
    add_OrderJobServiceServicer_to_server,
    add_OrderServiceServicer_to_server,
)
from mesh import migrations
from mesh.bus.connect import connect_bus
from mesh.bus.port import Bus
from mesh.database import Database
from mesh.ids import IdAllocator
from mesh.server import Server
from order_rpc import tables
from order_rpc.channels.sandbox_pay import SandboxPay
from order_rpc.jobs import Jobs
from order_rpc.paid_events import PaidEvents
from order_rpc.payments import Payments
from order_rpc.service import Orders
from order_rpc.servicer import OrderJobServicer, OrderServicer
from order_rpc.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
CHANNEL_CONNECTIONS_MAX = 32


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="order_rpc")
    try:
        async with open_server(settings, bus) as server:
            await server.serve_until(stop)
    finally:
        await bus.close()


@asynccontextmanager
async def open_server(settings: Settings, bus: Bus) -> AsyncIterator[Server]:
    """Make the server, not yet started, and hold its database and its connections to the channel open."""
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    try:
        if settings.migrate:
            await migrations.upgrade(database, MIGRATIONS)
        async with _open_session(settings) as session:
            yield _build_server(settings, database, bus, session)
    finally:
        await database.close()


def _open_session(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CHANNEL_CONNECTIONS_MAX),
        timeout=aiohttp.ClientTimeout(total=settings.payment_timeout_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "brandmesh"},
    )


def _build_server(settings: Settings, database: Database, bus: Bus, session: aiohttp.ClientSession) -> Server:
    ids = IdAllocator(database, tables.id_block)
    channel = SandboxPay(
        session,
        url=str(settings.payment_channel_url),
        merchant_id=settings.payment_merchant_id,
        secret=settings.payment_secret.get_secret_value(),
        notify_url=str(settings.payment_notify_url or ""),
    )
    events = PaidEvents(database, bus, settings.policy)
    payments = Payments(database, ids, channel, events)
    orders = Orders(database, ids, payments, settings.policy)
    services = order_pb2.DESCRIPTOR.services_by_name
    server = Server(settings)
    server.add(add_OrderServiceServicer_to_server, OrderServicer(orders, payments), services["OrderService"])
    server.add(
        add_OrderJobServiceServicer_to_server,
        OrderJobServicer(Jobs(database, payments), events),
        services["OrderJobService"],
    )
    return server
