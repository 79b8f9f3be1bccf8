"""The one file that names concrete classes: what messagecenter_rpc is made of."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

from brandmesh.messagecenter.v1 import messagecenter_pb2
from brandmesh.messagecenter.v1.messagecenter_pb2_grpc import (
    add_ImRecordServiceServicer_to_server,
    add_MessageCenterAdminServiceServicer_to_server,
    add_MessageCenterServiceServicer_to_server,
)
from mesh import migrations
from mesh.bus.connect import connect_bus
from mesh.channel import Peer
from mesh.database import Database
from mesh.ids import IdAllocator
from mesh.server import Server
from messagecenter_rpc.accepting import Accepting
from messagecenter_rpc.broadcast import Broadcasts
from messagecenter_rpc.calls import Calls
from messagecenter_rpc.claiming import Claiming
from messagecenter_rpc.clients import TxIm
from messagecenter_rpc.devices import Devices
from messagecenter_rpc.outcomes import Outcomes
from messagecenter_rpc.publisher import Publisher
from messagecenter_rpc.servicer import ImRecordServicer, MessageCenterAdminServicer, MessageCenterServicer
from messagecenter_rpc.settings import Settings
from messagecenter_rpc.sweeping import Sweeping
from messagecenter_rpc.tables import id_block
from messagecenter_rpc.technicians import Technicians
from messagecenter_rpc.templates import Templates

MIGRATIONS = Path(__file__).parent / "migrations"


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    if settings.migrate:
        await migrations.upgrade(database, MIGRATIONS)
    peer = Peer("txim_rpc", settings.peer_txim, message_bytes_max=settings.message_bytes_max)
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="messagecenter_rpc")
    publisher, ids = Publisher(database, bus), IdAllocator(database, id_block)
    async with aclosing(Accepting(database, ids, publisher)) as accepting:
        services = messagecenter_pb2.DESCRIPTOR.services_by_name
        server = Server(settings)
        server.add(
            add_MessageCenterServiceServicer_to_server,
            MessageCenterServicer(accepting, Calls(database)),
            services["MessageCenterService"],
        )
        server.add(
            add_MessageCenterAdminServiceServicer_to_server,
            MessageCenterAdminServicer(
                Templates(database, ids),
                Broadcasts(database),
                Devices(database, ids),
                Technicians(database),
                TxIm(peer),
            ),
            services["MessageCenterAdminService"],
        )
        server.add(
            add_ImRecordServiceServicer_to_server,
            ImRecordServicer(Claiming(database), Outcomes(database, publisher), Sweeping(database, publisher)),
            services["ImRecordService"],
        )
        await server.serve_until(stop)
    await peer.close()
    await bus.close()
    await database.close()
