"""The one file that names concrete classes: what sms_rpc is made of."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

from brandmesh.sms.v1 import sms_pb2
from brandmesh.sms.v1.sms_pb2_grpc import (
    add_SmsDispatchServiceServicer_to_server,
    add_SmsServiceServicer_to_server,
)
from mesh import migrations
from mesh.bus.connect import connect_bus
from mesh.channel import Peer
from mesh.database import Database
from mesh.ids import IdAllocator
from mesh.server import Server
from sms_rpc.clients import CostCenter
from sms_rpc.dispatching import Dispatching
from sms_rpc.messages import Messages
from sms_rpc.publisher import Publisher
from sms_rpc.receipts import Receipts
from sms_rpc.sending import Sending
from sms_rpc.servicer import SmsDispatchServicer, SmsServicer
from sms_rpc.settings import Settings
from sms_rpc.sweeping import Sweeping
from sms_rpc.tables import id_block
from sms_rpc.uplinks import Uplinks

MIGRATIONS = Path(__file__).parent / "migrations"


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    if settings.migrate:
        await migrations.upgrade(database, MIGRATIONS)
    peer = Peer("costcenter_rpc", settings.peer_costcenter, message_bytes_max=settings.message_bytes_max)
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="sms_rpc")
    cost_center, publisher = CostCenter(peer), Publisher(bus)
    ids = IdAllocator(database, id_block)
    async with aclosing(Sending(database, ids, cost_center, publisher)) as sending:
        services = sms_pb2.DESCRIPTOR.services_by_name
        server = Server(settings)
        server.add(
            add_SmsServiceServicer_to_server,
            SmsServicer(sending, Messages(database, cost_center)),
            services["SmsService"],
        )
        server.add(
            add_SmsDispatchServiceServicer_to_server,
            SmsDispatchServicer(
                Dispatching(database), Receipts(database), Uplinks(database, ids), Sweeping(database, publisher)
            ),
            services["SmsDispatchService"],
        )
        await server.serve_until(stop)
    await peer.close()
    await bus.close()
    await database.close()
