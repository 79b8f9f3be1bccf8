"""sms_rpc and the cost center behind it, real and over gRPC, in one process, on one clock that the test moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from brandmesh.costcenter.v1 import costcenter_pb2, costcenter_pb2_grpc
from brandmesh.sms.v1 import sms_pb2 as pb
from brandmesh.sms.v1 import sms_pb2_grpc
from costcenter_rpc.audit import audit
from costcenter_rpc.jobs import Jobs
from costcenter_rpc.ledger import Ledger
from mesh.channel import Peer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.timestamps import to_timestamp
from sms_rpc import tables
from sms_rpc.dispatching import Dispatching
from sms_rpc.messages import Messages
from sms_rpc.receipts import Receipts
from sms_rpc.sending import Sending
from sms_rpc.sweeping import Sweeping
from sms_rpc.uplinks import Uplinks
from tests.sms_rpc.control import Clock, Faults, SwitchedBus

BRAND = 7
OTHER_BRAND = 8
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CREDITS = 1_000_000

Rows = list[dict[str, Any]]


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


@contextmanager
def refused(reason: str, *fields: str) -> Iterator[pytest.ExceptionInfo[DomainError]]:
    """Expect a refusal, and which fields it names."""
    with pytest.raises(DomainError) as caught:
        yield caught
    assert caught.value.reason == reason, caught.value
    assert tuple(dict.fromkeys(violation.field for violation in caught.value.violations)) == fields


def phone(number: int) -> str:
    """Make up a mainland mobile number."""
    return f"138{number:08d}"


def e164(number: int) -> str:
    return f"+86{phone(number)}"


def ids_of(response: pb.SendSmsResponse | pb.SendVariableSmsResponse) -> list[int]:
    return [int(message.message_id) for message in response.messages]
