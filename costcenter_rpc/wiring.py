"""The one file that names concrete classes: what costcenter_rpc is made of."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.costcenter.v1.costcenter_pb2_grpc import (
    add_CostCenterJobServiceServicer_to_server,
    add_CostCenterServiceServicer_to_server,
)
from costcenter_rpc.jobs import Jobs
from costcenter_rpc.ledger import Ledger
from costcenter_rpc.service import CostCenter
from costcenter_rpc.servicer import CostCenterJobServicer, CostCenterServicer
from costcenter_rpc.settings import Settings
from mesh import migrations
from mesh.bus.connect import connect_bus
from mesh.database import Database
from mesh.server import Server

MIGRATIONS = Path(__file__).parent / "migrations"


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    if settings.migrate:
        await migrations.upgrade(database, MIGRATIONS)
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="costcenter_rpc")
    async with aclosing(Ledger(database, settings.policy)) as ledger, aclosing(Jobs(database, ledger, bus)) as jobs:
        cost_center = CostCenter(database, ledger)
        services = costcenter_pb2.DESCRIPTOR.services_by_name
        server = Server(settings)
        server.add(
            add_CostCenterServiceServicer_to_server,
            CostCenterServicer(cost_center, ledger, jobs),
            services["CostCenterService"],
        )
        server.add(
            add_CostCenterJobServiceServicer_to_server,
            CostCenterJobServicer(cost_center, jobs),
            services["CostCenterJobService"],
        )
        await server.serve_until(stop)
    await bus.close()
    await database.close()
