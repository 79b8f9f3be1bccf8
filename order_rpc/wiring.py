"""Which services there are, and how a process with some of them is put together.

What a service is made of, its own `wiring.py` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import add_MessageServiceServicer_to_server
from mesh.bus.connect import connect_bus
from mesh.bus.port import Bus
from mesh.database import Database
from mesh.messages.servicer import MessageServicer
from mesh.server import Server
from order_rpc.cart import wiring as cart
from order_rpc.coupon import wiring as coupon
from order_rpc.flash_sale import wiring as flash_sale
from order_rpc.goods import wiring as goods
from order_rpc.host import Host
from order_rpc.order import wiring as order
from order_rpc.payment import wiring as payment
from order_rpc.settings import Settings
from order_rpc.sms_package import wiring as sms_package
from order_rpc.user import wiring as user
from order_rpc.wallet import wiring as wallet

SERVICES: Mapping[str, Callable[[Host], Awaitable[None]]] = {
    "cart": cart.add,
    "coupon": coupon.add,
    "flash_sale": flash_sale.add,
    "goods": goods.add,
    "order": order.add,
    "payment": payment.add,
    "sms_package": sms_package.add,
    "user": user.add,
    "wallet": wallet.add,
}


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
    """Make the server, not yet started, with the services that the settings name, and hold what they need open."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.close)
        host = Host(settings, Server(settings), database, bus, stack)
        for name in settings.services or SERVICES:
            await SERVICES[name](host)
        host.server.add(
            add_MessageServiceServicer_to_server,
            MessageServicer(host.mailboxes),
            messaging_pb2.DESCRIPTOR.services_by_name["MessageService"],
        )
        yield host.server
