"""sms_rpc and the cost center behind it, real and over gRPC, in one process, on one clock that the test moves."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import sqlalchemy as sa
from google.protobuf.message import Message as Proto
from sqlalchemy.ext.asyncio import AsyncConnection

from brandmesh.costcenter.v1 import costcenter_pb2, costcenter_pb2_grpc
from brandmesh.sms.v1 import sms_pb2 as pb
from brandmesh.sms.v1 import sms_pb2_grpc
from costcenter_rpc.audit import audit
from costcenter_rpc.domain import Policy
from costcenter_rpc.jobs import Jobs
from costcenter_rpc.ledger import Ledger
from costcenter_rpc.service import CostCenter
from costcenter_rpc.servicer import CostCenterJobServicer, CostCenterServicer
from costcenter_rpc.wiring import MIGRATIONS as COST_CENTER_MIGRATIONS
from mesh import migrations
from mesh.bus.memory import MemoryBus
from mesh.bus.port import BusUnavailableError, Depth, Message
from mesh.channel import Peer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import IdAllocator
from mesh.server import Server
from mesh.settings import RpcSettings
from mesh.timestamps import to_timestamp
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

BRAND = 7
OTHER_BRAND = 8
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CREDITS = 1_000_000

DATABASE_URL = os.environ.get("BRANDMESH_TEST_DATABASE_URL", "")
"""A database of a server for sms_rpc, to run these tests on it; its tables are emptied before each. Empty: SQLite."""

Rows = list[dict[str, Any]]


class Clock:
    """The time of both services, their bus and whoever else asks."""

    def __init__(self) -> None:
        self.now_ms = time.time_ns() // 1_000_000

    def pass_ms(self, duration_ms: int) -> None:
        self.now_ms += duration_ms

    def pass_seconds(self, seconds: float) -> None:
        self.pass_ms(int(seconds * 1000))

    def seconds(self) -> float:
        return self.now_ms / 1000


class ClockedDatabase(Database):
    """A database whose clock the test moves."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(url)
        self._clock = clock

    async def now_ms(self, connection: AsyncConnection) -> int:  # noqa: ARG002  # the real one asks the connection
        return self._clock.now_ms


class SwitchedBus(MemoryBus):
    """A bus that can be away, and that can lose what it holds."""

    is_away = False

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: int = 0) -> None:
        self._check()
        await super().publish(queue, messages, delay_seconds)

    async def depth(self, queue: str) -> Depth:
        self._check()
        return await super().depth(queue)

    def lose_everything(self) -> None:
        self._queues.clear()

    def _check(self) -> None:
        if self.is_away:
            raise BusUnavailableError("switched off")


@dataclass
class Faults:
    """What goes wrong with calls, by the name of their method: each fault is one call's, first come, first served."""

    before: dict[str, deque[grpc.StatusCode]] = field(default_factory=lambda: defaultdict(deque))
    after: dict[str, deque[grpc.StatusCode]] = field(default_factory=lambda: defaultdict(deque))

    def refuse(self, method: str, *codes: grpc.StatusCode) -> None:
        """Let the next calls of a method fail and do nothing."""
        self.before[method].extend(codes)

    def lose_answer(self, method: str, *codes: grpc.StatusCode) -> None:
        """Let the next calls of a method do their work, and fail all the same."""
        self.after[method].extend(codes)

    def clear(self) -> None:
        self.before.clear()
        self.after.clear()


Servicer = TypeVar("Servicer")


def faulty(servicer: Servicer, faults: Faults) -> Servicer:
    """Answer the servicer with calls that fail as `faults` says."""
    return cast("Servicer", _Faulty(servicer, faults))


class _Faulty:
    def __init__(self, servicer: object, faults: Faults) -> None:
        self._servicer = servicer
        self._faults = faults

    def __getattr__(self, name: str) -> Callable[[Proto, Any], Awaitable[Proto]]:
        method = getattr(self._servicer, name)

        async def call(request: Proto, context: Any) -> Proto:
            _raise_next(self._faults.before[name])
            answer: Proto = await method(request, context)
            _raise_next(self._faults.after[name])
            return answer

        return call


def _raise_next(codes: deque[grpc.StatusCode]) -> None:
    if codes:
        raise DomainError(codes.popleft(), "SWITCHED_OFF", "switched off by the test")


@dataclass
class SmsMesh:
    """sms_rpc with the cost center: their parts, their peers, and the bus between them and the consumers."""

    clock: Clock
    faults: Faults
    bus: SwitchedBus
    center_database: Database
    ledger: Ledger
    jobs: Jobs
    center_peer: Peer
    database: Database
    sms_peer: Peer
    sending: Sending
    messages: Messages
    dispatching: Dispatching
    receipts: Receipts
    uplinks: Uplinks
    sweeping: Sweeping
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.center = costcenter_pb2_grpc.CostCenterServiceStub(self.center_peer.channel)
        self.center_jobs = costcenter_pb2_grpc.CostCenterJobServiceStub(self.center_peer.channel)
        self.sms = sms_pb2_grpc.SmsServiceStub(self.sms_peer.channel)
        self.dispatches = sms_pb2_grpc.SmsDispatchServiceStub(self.sms_peer.channel)

    # The brand and its apps.

    async def open_brand(self, brand_id: int = BRAND, *, num: int = CREDITS, international: bool = False) -> None:
        """Make a brand known to both services."""
        await self.messages.put_brand(brand_id, international=international)
        await self.center_peer.call(self.center.OpenSmsAccount, costcenter_pb2.OpenSmsAccountRequest(brand_id=brand_id))
        if num:
            await self.grant(num, brand_id)

    async def grant(self, num: int, brand_id: int = BRAND) -> None:
        """Give a brand credits that outlast every test."""
        request = costcenter_pb2.GrantSmsPackageRequest(
            brand_id=brand_id,
            request_id=f"grant-{next(self.numbers)}",
            num=num,
            expire_time=to_timestamp(self.clock.now_ms + 1000 * DAY_MS),
        )
        await self.center_peer.call(self.center.GrantSmsPackage, request)

    async def send(self, *phones: str, **changes: Any) -> pb.SendSmsResponse:
        """Send to `phones`, or to one of our own making."""
        return await self.sms_peer.call(self.sms.SendSms, self.request(*phones, **changes))

    def request(self, *phones: str, **changes: Any) -> pb.SendSmsRequest:
        fields: dict[str, Any] = {
            "brand_id": BRAND,
            "request_id": f"request-{next(self.numbers)}",
            "type": pb.SMS_TYPE_NOTIFICATION,
            "phones": phones or [phone(1)],
            "content": "Your table is ready",
            "signature": "Blue Bay",
        }
        return pb.SendSmsRequest(**(fields | changes))

    async def send_variable(self, *recipients: tuple[str, Sequence[str]], **changes: Any) -> pb.SendVariableSmsResponse:
        fields: dict[str, Any] = {
            "brand_id": BRAND,
            "request_id": f"request-{next(self.numbers)}",
            "type": pb.SMS_TYPE_NOTIFICATION,
            "recipients": [pb.VariableRecipient(phone=phone, params=params) for phone, params in recipients],
            "content": "Dear {$var}, table {$var} is ready",
            "signature": "Blue Bay",
        }
        return await self.sms_peer.call(self.sms.SendVariableSms, pb.SendVariableSmsRequest(**(fields | changes)))

    async def get(self, message_id: int | str, brand_id: int = BRAND) -> pb.GetSmsResponse:
        request = pb.GetSmsRequest(brand_id=brand_id, message_id=str(message_id))
        return await self.sms_peer.call(self.sms.GetSms, request)

    async def account(self, brand_id: int = BRAND) -> costcenter_pb2.GetSmsAccountResponse:
        request = costcenter_pb2.GetSmsAccountRequest(brand_id=brand_id)
        return await self.center_peer.call(self.center.GetSmsAccount, request)

    async def spent_and_frozen(self, brand_id: int = BRAND) -> tuple[int, int]:
        account = await self.account(brand_id)
        return account.spent, account.frozen

    # What nobody but a test does.

    async def rows(self, table: sa.Table) -> Rows:
        async with self.database.read() as connection:
            rows = await connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            return [dict(row._mapping) for row in rows]

    async def states(self) -> dict[int, str]:
        """Read the state of each dispatch."""
        return {row["dispatch_id"]: row["state"] for row in await self.rows(tables.dispatch)}

    async def statuses(self, *message_ids: int | str) -> list[str]:
        """Read the statuses of messages (all, if none is named), in the order of their ids."""
        wanted = {int(message_id) for message_id in message_ids}
        return [row["status"] for row in await self.rows(tables.record) if not wanted or row["record_id"] in wanted]

    async def set_dispatch(self, dispatch_id: int | str, **values: Any) -> None:
        await self._set(sa.update(tables.dispatch).where(tables.dispatch.c.dispatch_id == int(dispatch_id)), values)

    async def set_record(self, record_id: int | str, **values: Any) -> None:
        await self._set(sa.update(tables.record).where(tables.record.c.record_id == int(record_id)), values)

    async def _set(self, statement: sa.Update, values: dict[str, Any]) -> None:
        async with self.database.write() as connection:
            assert (await connection.execute(statement.values(values))).rowcount == 1

    async def apply_jobs(self) -> None:
        """Do what costcenter_rmq does: apply all stored releases and receipts, and release overdue freezes."""
        async with self.center_database.read() as connection:
            pending = await connection.execute(sa.text("SELECT job_id FROM job WHERE state = 'PENDING'"))
            job_ids = list(pending.scalars())
        await self.jobs.apply(job_ids)
        request = costcenter_pb2.ExpireSmsFreezesRequest(freezes_max=1000)
        await self.center_peer.call(self.center_jobs.ExpireSmsFreezes, request)

    async def is_sound(self) -> None:
        assert await audit(self.center_database) == []


@asynccontextmanager
async def running_sms(directory: Path) -> AsyncIterator[SmsMesh]:
    """Start both services on empty databases."""
    clock, faults = Clock(), Faults()
    bus = SwitchedBus(lambda: clock.now_ms)
    async with AsyncExitStack() as stack:
        center_url = f"sqlite:///{await _migrated(directory, 'costcenter', COST_CENTER_MIGRATIONS)}"
        center_database = _open(center_url, clock, stack)
        ledger = await stack.enter_async_context(Ledger(center_database, Policy()))
        jobs = await stack.enter_async_context(Jobs(center_database, ledger, bus))
        center_peer = await _serve_cost_center(center_database, ledger, jobs, faults, stack)
        database = _open(await prepare(directory), clock, stack)
        parts = await _build(database, bus, center_peer, stack)
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


async def _build(database: Database, bus: MemoryBus, center_peer: Peer, stack: AsyncExitStack) -> Parts:
    cost_center, publisher, ids = CostCenterClient(center_peer), Publisher(bus), IdAllocator(database, tables.id_block)
    return Parts(
        sending=await stack.enter_async_context(Sending(database, ids, cost_center, publisher)),
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
    services = pb.DESCRIPTOR.services_by_name
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
    return Server(RpcSettings(database_url="unused", listen="127.0.0.1:0", drain_seconds=0.5))


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
    if not DATABASE_URL:
        return f"sqlite:///{await _migrated(directory, 'sms', MIGRATIONS)}"
    database = Database(DATABASE_URL)
    await migrations.upgrade(database, MIGRATIONS)
    async with database.write() as connection:
        for table in tables.metadata.tables.values():
            if table is not tables.id_block:
                await connection.execute(sa.delete(table))
    await database.close()
    return DATABASE_URL


async def _migrated(directory: Path, name: str, scripts: Path) -> Path:
    """Copy the file that every test starts from: migrating takes longer than most tests."""
    template = directory.parent / f"{name}-template.db"
    if not template.exists():
        database = Database(f"sqlite:///{template}")
        await migrations.upgrade(database, scripts)
        await database.close()
    return Path(shutil.copy(template, directory / f"{name}.db"))


def phone(number: int) -> str:
    """Make up a mainland mobile number."""
    return f"138{number:08d}"


def e164(number: int) -> str:
    return f"+86{phone(number)}"


def ids_of(response: pb.SendSmsResponse | pb.SendVariableSmsResponse) -> list[int]:
    return [int(message.message_id) for message in response.messages]
