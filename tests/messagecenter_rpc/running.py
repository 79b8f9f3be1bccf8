"""Starting messagecenter_rpc on an empty database, served over gRPC, with a stand-in for txim_rpc behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from brandmesh.messagecenter.v1 import messagecenter_pb2, messagecenter_pb2_grpc
from brandmesh.txim.v1 import txim_pb2, txim_pb2_grpc
from mesh.bus.memory import MemoryBus
from mesh.channel import Peer
from mesh.database import Database
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
from messagecenter_rpc.wiring import MIGRATIONS
from tests.databases import empty_database
from tests.messagecenter_rpc.harness import MessageCenter
from tests.sms_rpc.control import Clock, ClockedDatabase, SwitchedBus


class Tencent(txim_pb2_grpc.TxImServiceServicer):
    """Answers who is online, and remembers how many it was asked about at a time."""

    def __init__(self) -> None:
        self.states: dict[str, txim_pb2.OnlineState.ValueType] = {}
        self.asked: list[int] = []

    async def QueryOnlineStatus(  # noqa: N802  # the contract's name
        self,
        request: txim_pb2.QueryOnlineStatusRequest,
        context: Any,  # noqa: ARG002  # gRPC hands it in
    ) -> txim_pb2.QueryOnlineStatusResponse:
        self.asked.append(len(request.accounts))
        offline = txim_pb2.ONLINE_STATE_OFFLINE
        return txim_pb2.QueryOnlineStatusResponse(
            states=[
                txim_pb2.AccountState(account=account, state=self.states.get(account, offline))
                for account in request.accounts
            ]
        )


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[MessageCenter]:
    """Start it on an empty database."""
    clock, tencent = Clock(), Tencent()  # type: ignore[abstract]  # one of its methods is called
    bus = SwitchedBus(lambda: clock.now_ms)
    async with AsyncExitStack() as stack:
        database = ClockedDatabase(
            await empty_database(directory, "messagecenter", (MIGRATIONS, tables.metadata)), clock
        )
        stack.push_async_callback(database.close)
        txim = await serve_tencent(tencent, stack)
        peer = await serve(database, bus, txim, stack)
        yield MessageCenter(clock=clock, bus=bus, database=database, peer=peer, tencent=tencent)


async def serve_tencent(tencent: Tencent, stack: AsyncExitStack) -> Peer:
    server = Server(_settings())
    service = txim_pb2.DESCRIPTOR.services_by_name["TxImService"]
    server.add(txim_pb2_grpc.add_TxImServiceServicer_to_server, tencent, service)
    return await _start(server, "txim_rpc", stack)


@dataclass
class Parts:
    """What one process of messagecenter_rpc holds."""

    accepting: Accepting
    publisher: Publisher
    ids: IdAllocator


async def build(database: Database, bus: MemoryBus, stack: AsyncExitStack) -> Parts:
    publisher, ids = Publisher(database, bus), IdAllocator(database, tables.id_block)
    return Parts(await stack.enter_async_context(aclosing(Accepting(database, ids, publisher))), publisher, ids)


async def serve(database: Database, bus: MemoryBus, txim: Peer, stack: AsyncExitStack) -> Peer:
    """Serve one process of messagecenter_rpc; several may share the database and the bus."""
    parts = await build(database, bus, stack)
    services = messagecenter_pb2.DESCRIPTOR.services_by_name
    server = Server(_settings())
    server.add(
        messagecenter_pb2_grpc.add_MessageCenterServiceServicer_to_server,
        MessageCenterServicer(parts.accepting, Calls(database)),
        services["MessageCenterService"],
    )
    server.add(
        messagecenter_pb2_grpc.add_MessageCenterAdminServiceServicer_to_server,
        MessageCenterAdminServicer(
            Templates(database, parts.ids),
            Broadcasts(database),
            Devices(database, parts.ids),
            Technicians(database),
            TxIm(txim),
        ),
        services["MessageCenterAdminService"],
    )
    server.add(
        messagecenter_pb2_grpc.add_ImRecordServiceServicer_to_server,
        ImRecordServicer(Claiming(database), Outcomes(database, parts.publisher), Sweeping(database, parts.publisher)),
        services["ImRecordService"],
    )
    return await _start(server, "messagecenter_rpc", stack)


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
