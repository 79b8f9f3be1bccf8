"""Starting messagecenter_rpc and txim_rpc on empty databases, served over gRPC, before a scripted Tencent."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from brandmesh.messagecenter.v1 import messagecenter_pb2, messagecenter_pb2_grpc
from brandmesh.txim.v1 import txim_pb2, txim_pb2_grpc
from mesh.bus.port import Bus
from mesh.channel import Peer
from mesh.ids import IdAllocator
from mesh.server import Server
from mesh.settings import RpcSettings
from messagecenter_rpc import tables
from messagecenter_rpc.accepting import Accepting
from messagecenter_rpc.broadcast import Broadcasts
from messagecenter_rpc.calls import Calls
from messagecenter_rpc.claiming import Claiming
from messagecenter_rpc.clients import TxIm
from messagecenter_rpc.devices import Devices
from messagecenter_rpc.outcomes import Outcomes
from messagecenter_rpc.publisher import Publisher
from messagecenter_rpc.servicer import ImRecordServicer, MessageCenterAdminServicer, MessageCenterServicer
from messagecenter_rpc.sweeping import Sweeping
from messagecenter_rpc.technicians import Technicians
from messagecenter_rpc.templates import Templates
from messagecenter_rpc.wiring import MIGRATIONS as MESSAGECENTER_MIGRATIONS
from tests.databases import empty_database
from tests.sms_rpc.control import Clock, ClockedDatabase, Faults, faulty
from txim_rpc import tables as txim_tables
from txim_rpc.accounts import Accounts
from txim_rpc.commands import Commands
from txim_rpc.service import Im
from txim_rpc.servicer import TxImServicer
from txim_rpc.settings import Settings as TxImSettings
from txim_rpc.wiring import MIGRATIONS as TXIM_MIGRATIONS
from txim_rpc.wiring import build_tencent, open_session


@dataclass(frozen=True, slots=True)
class Service:
    """A running service, and how it is called."""

    peer: Peer
    address: str


async def start_messagecenter(  # noqa: PLR0917  # what a test has in its hands
    directory: Path, bus: Bus, clock: Clock, faults: Faults, txim_peer: Peer, stack: AsyncExitStack
) -> Service:
    """Start messagecenter_rpc on an empty database."""
    database = await _database(directory, "messagecenter", MESSAGECENTER_MIGRATIONS, tables.metadata, clock, stack)
    ids, publisher = IdAllocator(database, tables.id_block), Publisher(database, bus)
    accepting = await stack.enter_async_context(aclosing(Accepting(database, ids, publisher)))
    services = messagecenter_pb2.DESCRIPTOR.services_by_name
    server = Server(_settings())
    server.add(
        messagecenter_pb2_grpc.add_MessageCenterServiceServicer_to_server,
        MessageCenterServicer(accepting, Calls(database)),
        services["MessageCenterService"],
    )
    server.add(
        messagecenter_pb2_grpc.add_MessageCenterAdminServiceServicer_to_server,
        MessageCenterAdminServicer(
            Templates(database, ids),
            Broadcasts(database),
            Devices(database, ids),
            Technicians(database),
            TxIm(txim_peer),
        ),
        services["MessageCenterAdminService"],
    )
    records = ImRecordServicer(Claiming(database), Outcomes(database, publisher), Sweeping(database, publisher))
    server.add(
        messagecenter_pb2_grpc.add_ImRecordServiceServicer_to_server,
        faulty(records, faults),
        services["ImRecordService"],
    )
    return await _start(server, "messagecenter_rpc", stack)


async def start_txim(
    directory: Path, settings: TxImSettings, clock: Clock, faults: Faults, stack: AsyncExitStack
) -> Service:
    """Start txim_rpc on an empty database."""
    database = await _database(directory, "txim", TXIM_MIGRATIONS, txim_tables.metadata, clock, stack)
    session = await stack.enter_async_context(open_session(settings))
    commands = Commands(build_tencent(settings, session), clock.seconds)
    accounts = await stack.enter_async_context(
        aclosing(Accounts(database, commands, cached_max=settings.accounts_cached_max))
    )
    server = Server(_settings())
    server.add(
        txim_pb2_grpc.add_TxImServiceServicer_to_server,
        faulty(TxImServicer(Im(commands, accounts), clock.seconds), faults),
        txim_pb2.DESCRIPTOR.services_by_name["TxImService"],
    )
    return await _start(server, "txim_rpc", stack)


@cache
def _settings() -> RpcSettings:
    """Read settings once: that takes longer than starting a server."""
    return RpcSettings(database_url="unused", listen="127.0.0.1:0", drain_seconds=0.5)


async def _start(server: Server, name: str, stack: AsyncExitStack) -> Service:
    await server.start()
    stack.push_async_callback(server.drain)
    peer = Peer(name, server.address)
    stack.push_async_callback(peer.close)
    return Service(peer, server.address)


async def _database(  # noqa: PLR0917  # what a test has in its hands
    directory: Path, name: str, scripts: Path, metadata: sa.MetaData, clock: Clock, stack: AsyncExitStack
) -> ClockedDatabase:
    database = ClockedDatabase(await empty_database(directory, name, (scripts, metadata)), clock)
    stack.push_async_callback(database.close)
    return database
