"""Starting sms_rpc and the cost center on empty databases, served over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from brandmesh.costcenter.v1 import costcenter_pb2, costcenter_pb2_grpc
from brandmesh.sms.v1 import sms_pb2, sms_pb2_grpc
from costcenter_rpc import tables as cost_center_tables
from costcenter_rpc.domain import Policy
from costcenter_rpc.jobs import Jobs
from costcenter_rpc.ledger import Ledger
from costcenter_rpc.service import CostCenter
from costcenter_rpc.servicer import CostCenterJobServicer, CostCenterServicer
from costcenter_rpc.wiring import MIGRATIONS as COST_CENTER_MIGRATIONS
from mesh.bus.memory import MemoryBus
from mesh.channel import Peer
from mesh.database import Database
from mesh.ids import IdAllocator
from mesh.server import Server
from mesh.settings import RpcSettings
from sms_rpc import tables
from sms_rpc.clients import CostCenter as CostCenterClient
from sms_rpc.dispatching import Dispatching
from sms_rpc.messages import Messages
from sms_rpc.publisher import Publisher
from sms_rpc.receipts import Receipts
from sms_rpc.sending import Sending
from sms_rpc.servicer import SmsDispatchServicer, SmsServicer
from sms_rpc.sweeping import Sweeping
from sms_rpc.uplinks import Uplinks
from sms_rpc.wiring import MIGRATIONS
from tests.databases import empty_database
from tests.sms_rpc.control import Clock, ClockedDatabase, Faults, SwitchedBus, faulty
from tests.sms_rpc.harness import SmsMesh


@asynccontextmanager
async def running_sms(directory: Path) -> AsyncIterator[SmsMesh]:
    """Start both services on empty databases."""
    clock, faults = Clock(), Faults()
    bus = SwitchedBus(lambda: clock.now_ms)
    async with AsyncExitStack() as stack:
        center_url = await empty_database(
            directory, "costcenter", (COST_CENTER_MIGRATIONS, cost_center_tables.metadata)
        )
        center_database = _open(center_url, clock, stack)
        ledger = await stack.enter_async_context(aclosing(Ledger(center_database, Policy())))
        jobs = await stack.enter_async_context(aclosing(Jobs(center_database, ledger, bus)))
        center_peer = await _serve_cost_center(center_database, ledger, jobs, faults, stack)
        database = _open(await prepare(directory), clock, stack)
        parts = await build(database, bus, center_peer, stack)
        sms_peer = await _serve_sms(parts, faults, stack)
        yield SmsMesh(
            clock=clock,
            faults=faults,
            bus=bus,
            center_database=center_database,
            ledger=ledger,
            jobs=jobs,
            center_peer=center_peer,
            database=database,
            sms_peer=sms_peer,
            **vars(parts),
        )


@dataclass
class Parts:
    """What sms_rpc is made of."""

    sending: Sending
    messages: Messages
    dispatching: Dispatching
    receipts: Receipts
    uplinks: Uplinks
    sweeping: Sweeping


async def build(database: Database, bus: MemoryBus, center_peer: Peer, stack: AsyncExitStack) -> Parts:
    """Build what one process of sms_rpc holds."""
    cost_center, publisher, ids = CostCenterClient(center_peer), Publisher(bus), IdAllocator(database, tables.id_block)
    return Parts(
        sending=await stack.enter_async_context(aclosing(Sending(database, ids, cost_center, publisher))),
        messages=Messages(database, cost_center),
        dispatching=Dispatching(database),
        receipts=Receipts(database),
        uplinks=Uplinks(database, ids),
        sweeping=Sweeping(database, publisher),
    )


async def _serve_cost_center(
    database: Database, ledger: Ledger, jobs: Jobs, faults: Faults, stack: AsyncExitStack
) -> Peer:
    cost_center = CostCenter(database, ledger)
    services = costcenter_pb2.DESCRIPTOR.services_by_name
    server = _server()
    server.add(
        costcenter_pb2_grpc.add_CostCenterServiceServicer_to_server,
        faulty(CostCenterServicer(cost_center, ledger, jobs), faults),
        services["CostCenterService"],
    )
    server.add(
        costcenter_pb2_grpc.add_CostCenterJobServiceServicer_to_server,
        faulty(CostCenterJobServicer(cost_center, jobs), faults),
        services["CostCenterJobService"],
    )
    return await _start(server, "costcenter_rpc", stack)


async def _serve_sms(parts: Parts, faults: Faults, stack: AsyncExitStack) -> Peer:
    services = sms_pb2.DESCRIPTOR.services_by_name
    server = _server()
    server.add(
        sms_pb2_grpc.add_SmsServiceServicer_to_server,
        faulty(SmsServicer(parts.sending, parts.messages), faults),
        services["SmsService"],
    )
    server.add(
        sms_pb2_grpc.add_SmsDispatchServiceServicer_to_server,
        faulty(SmsDispatchServicer(parts.dispatching, parts.receipts, parts.uplinks, parts.sweeping), faults),
        services["SmsDispatchService"],
    )
    return await _start(server, "sms_rpc", stack)


def _server() -> Server:
    return Server(_settings())


@cache
def _settings() -> RpcSettings:
    """Read settings once: that takes longer than starting a server."""
    return RpcSettings(database_url="unused", listen="127.0.0.1:0", drain_seconds=0.5)


async def _start(server: Server, name: str, stack: AsyncExitStack) -> Peer:
    await server.start()
    stack.push_async_callback(server.drain)
    peer = Peer(name, server.address, timeout_seconds=60)
    stack.push_async_callback(peer.close)
    return peer


def _open(url: str, clock: Clock, stack: AsyncExitStack) -> ClockedDatabase:
    database = ClockedDatabase(url, clock)
    stack.push_async_callback(database.close)
    return database


async def prepare(directory: Path) -> str:
    """Make an empty, migrated database for sms_rpc; answer its URL."""
    return await empty_database(directory, "sms", (MIGRATIONS, tables.metadata))
