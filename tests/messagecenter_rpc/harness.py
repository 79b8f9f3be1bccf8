"""messagecenter_rpc in the hands of a test: real and over gRPC, on one clock that the test moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from brandmesh.messagecenter.v1 import im_call_pb2, messagecenter_pb2_grpc
from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from mesh.bus.id_messages import read_ids
from mesh.channel import Peer
from mesh.database import Database
from mesh.errors import DomainError
from messagecenter_rpc import tables
from tests.sms_rpc.control import Clock, SwitchedBus

if TYPE_CHECKING:
    from tests.messagecenter_rpc.running import Tencent

BRAND = 7
OTHER_BRAND = 8
SHOP = 11
OTHER_SHOP = 12

ORDERED = im_call_pb2.ENUM_IM_CALL_EVENT_CATERING_ORDERED
KITCHEN = im_call_pb2.ENUM_IM_CALL_CHANNEL_KITCHEN
CALL_SCREEN = im_call_pb2.ENUM_IM_CALL_CHANNEL_CALL_SCREEN
CASH_DESK = im_call_pb2.ENUM_IM_CALL_CHANNEL_CASH_DESK
ROOM_PAD = im_call_pb2.ENUM_IM_CALL_CHANNEL_ROOM_PAD
TECHNICIAN = im_call_pb2.ENUM_IM_CALL_CHANNEL_TECHNICIAN
SERVICE_DESK = im_call_pb2.ENUM_IM_CALL_CHANNEL_SERVICE_DESK
BROADCAST = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_BROADCAST
REFRESH = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_REFRESH
NOTIFICATION = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_NOTIFICATION
PAD_CALL = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_PAD_CALL

CONTENT = "{roomName}房间下单了{goodsName}{num}份,请注意"
PARAMS = {"roomName": "801", "goodsName": "水饺", "num": "2"}

Rows = list[dict[str, Any]]


@dataclass
class MessageCenter:
    """messagecenter_rpc: its clock, its bus, its database, and a peer to call it by."""

    clock: Clock
    bus: SwitchedBus
    database: Database
    peer: Peer
    tencent: Tencent
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.calls = messagecenter_pb2_grpc.MessageCenterServiceStub(self.peer.channel)
        self.admin = messagecenter_pb2_grpc.MessageCenterAdminServiceStub(self.peer.channel)
        self.records = messagecenter_pb2_grpc.ImRecordServiceStub(self.peer.channel)

    # What operators do.

    async def template(self, content: str = CONTENT, brand_id: int = BRAND, **changes: Any) -> int:
        """Make a template; answer its id."""
        fields = {"request_id": f"template-{next(self.numbers)}", "name": "ordered"} | changes
        request = pb.CreateImTemplateRequest(brand_id=brand_id, content=content, **fields)
        return (await self.peer.call(self.admin.CreateImTemplate, request)).template.template_id

    async def delete_template(self, template_id: int, brand_id: int = BRAND) -> None:
        request = pb.DeleteImTemplateRequest(brand_id=brand_id, template_id=template_id)
        await self.peer.call(self.admin.DeleteImTemplate, request)

    async def update_template(self, template_id: int, content: str, **changes: Any) -> pb.ImTemplate:
        fields: dict[str, Any] = {"brand_id": BRAND, "name": "ordered"} | changes
        request = pb.UpdateImTemplateRequest(template_id=template_id, content=content, **fields)
        return (await self.peer.call(self.admin.UpdateImTemplate, request)).template

    async def configure(self, channel: int = KITCHEN, brand_id: int = BRAND, **changes: Any) -> pb.BroadcastConfig:
        """Set the broadcast configuration of an order to a channel; switched on, for all shops, if not told else."""
        fields: dict[str, Any] = {"event": ORDERED, "channel": channel, "enabled": True} | changes
        request = pb.PutBroadcastConfigRequest(brand_id=brand_id, config=pb.BroadcastConfig(**fields))
        return (await self.peer.call(self.admin.PutBroadcastConfig, request)).config

    async def remove_config(self, channel: int = KITCHEN, brand_id: int = BRAND, shop_id: int = 0) -> None:
        fields: dict[str, Any] = {"event": ORDERED, "channel": channel, "shop_id": shop_id}
        request = pb.DeleteBroadcastConfigRequest(brand_id=brand_id, **fields)
        await self.peer.call(self.admin.DeleteBroadcastConfig, request)

    async def device(
        self, device_id: str = "", channel: int = KITCHEN, brand_id: int = BRAND, **changes: Any
    ) -> pb.ImDevice:
        """Put a device into a shop."""
        fields: dict[str, Any] = {"shop_id": SHOP, "channel": channel} | changes
        if channel == TECHNICIAN:
            fields.setdefault("technician_id", "t1")
        name = device_id or f"device-{next(self.numbers)}"
        request = pb.PutImDeviceRequest(brand_id=brand_id, device_id=name, **fields)
        return (await self.peer.call(self.admin.PutImDevice, request)).device

    async def get_device(self, device_id: str, brand_id: int = BRAND) -> pb.ImDevice:
        request = pb.GetImDeviceRequest(brand_id=brand_id, device_id=device_id)
        return (await self.peer.call(self.admin.GetImDevice, request)).device

    async def list_devices(self, brand_id: int = BRAND, **changes: Any) -> pb.ListImDevicesResponse:
        request = pb.ListImDevicesRequest(brand_id=brand_id, **changes)
        return await self.peer.call(self.admin.ListImDevices, request)

    async def device_states(self, shop_id: int = SHOP) -> pb.ListImDeviceStatesResponse:
        request = pb.ListImDeviceStatesRequest(brand_id=BRAND, shop_id=shop_id)
        return await self.peer.call(self.admin.ListImDeviceStates, request)

    async def delete_device(self, device_id: str, brand_id: int = BRAND) -> None:
        request = pb.DeleteImDeviceRequest(brand_id=brand_id, device_id=device_id)
        await self.peer.call(self.admin.DeleteImDevice, request)

    async def clock_on(self, technician_id: str = "t1", **changes: Any) -> pb.Technician:
        request = pb.ClockOnTechnicianRequest(brand_id=BRAND, technician_id=technician_id, **changes)
        return (await self.peer.call(self.admin.ClockOnTechnician, request)).technician

    async def clock_off(self, technician_id: str = "t1", **changes: Any) -> pb.Technician:
        request = pb.ClockOffTechnicianRequest(brand_id=BRAND, technician_id=technician_id, **changes)
        return (await self.peer.call(self.admin.ClockOffTechnician, request)).technician

    # What apps do.

    def request(self, *channels: int, **changes: Any) -> im_call_pb2.SendImCallRequest:
        fields: dict[str, Any] = {
            "brandId": BRAND,
            "shopId": SHOP,
            "event": ORDERED,
            "Channels": channels or [KITCHEN],
            "MsgType": BROADCAST,
            "callParams": PARAMS,
            "request_id": f"call-{next(self.numbers)}",
        }
        return im_call_pb2.SendImCallRequest(**(fields | changes))

    async def send(self, *channels: int, **changes: Any) -> im_call_pb2.SendImCallResponse:
        return await self.peer.call(self.calls.SendImCall, self.request(*channels, **changes))

    async def refresh(self, *channels: int, **changes: Any) -> list[int]:
        """Send what needs no configuration; answer the ids of the records."""
        response = await self.send(*channels, MsgType=REFRESH, **changes)
        return record_ids_of(response)

    async def get(self, call_id: str, brand_id: int = BRAND) -> pb.GetImCallResponse:
        request = pb.GetImCallRequest(brand_id=brand_id, call_id=call_id)
        return await self.peer.call(self.calls.GetImCall, request)

    async def list_calls(self, brand_id: int = BRAND, **changes: Any) -> pb.ListImCallsResponse:
        request = pb.ListImCallsRequest(brand_id=brand_id, **changes)
        return await self.peer.call(self.calls.ListImCalls, request)

    async def list_records(self, call_id: str, brand_id: int = BRAND, **changes: Any) -> pb.ListImRecordsResponse:
        request = pb.ListImRecordsRequest(brand_id=brand_id, call_id=call_id, **changes)
        return await self.peer.call(self.calls.ListImRecords, request)

    async def cancel(self, call_id: str, brand_id: int = BRAND) -> pb.CancelImCallResponse:
        request = pb.CancelImCallRequest(brand_id=brand_id, call_id=call_id)
        return await self.peer.call(self.calls.CancelImCall, request)

    # What consumers do.

    async def claim(
        self, record_ids: Sequence[int], consumer: str = "first", lease_seconds: int = 30
    ) -> list[pb.ImDelivery]:
        request = pb.ClaimImRecordsRequest(record_ids=record_ids, consumer=consumer, lease_seconds=lease_seconds)
        return list((await self.peer.call(self.records.ClaimImRecords, request)).deliveries)

    async def outcome(
        self,
        record_ids: Sequence[int],
        outcome: pb.ImOutcome.ValueType = pb.IM_OUTCOME_SENT,
        consumer: str = "first",
        **changes: Any,
    ) -> None:
        one = pb.ImRecordOutcome(record_ids=record_ids, outcome=outcome, **changes)
        request = pb.RecordImOutcomesRequest(consumer=consumer, outcomes=[one])
        await self.peer.call(self.records.RecordImOutcomes, request)

    async def sweep(self, records_max: int = 1000) -> int:
        request = pb.SweepImRecordsRequest(records_max=records_max)
        return (await self.peer.call(self.records.SweepImRecords, request)).published_count

    async def due_ids(self, brand_id: int = BRAND) -> list[list[int]]:
        """Take the messages that are due off the queue of a brand: the ids of each."""
        deliveries = await self.bus.receive(f"im.call.{brand_id}", 1000, 60)
        await self.bus.ack(deliveries)
        return [read_ids(delivery.body) for delivery in deliveries]

    # What nobody but a test does.

    async def rows(self, table: sa.Table = tables.record) -> Rows:
        async with self.database.read() as connection:
            rows = await connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            return [dict(row._mapping) for row in rows]

    async def statuses(self) -> list[str]:
        """Read the statuses of all records, in the order of their ids."""
        return [row["status"] for row in await self.rows()]

    async def insert_devices(self, count: int) -> None:
        """Put many devices of their own accounts into the kitchen of the shop."""
        same: dict[str, Any] = {"brand_id": BRAND, "shop_id": SHOP, "channel": KITCHEN, "location": ""}
        same |= {"technician_id": "", "created_at_ms": 1, "updated_at_ms": 1}
        rows = [
            {"device_id": f"many-{number}", "device_number": number + 1, "account": f"dev-{number}", **same}
            for number in range(count)
        ]
        async with self.database.write() as connection:
            await connection.execute(sa.insert(tables.device), rows)

    async def set_record(self, record_id: int, **values: Any) -> None:
        statement = sa.update(tables.record).where(tables.record.c.record_id == record_id).values(values)
        async with self.database.write() as connection:
            assert (await connection.execute(statement)).rowcount == 1


@contextmanager
def refused(reason: str, *fields: str) -> Iterator[pytest.ExceptionInfo[DomainError]]:
    """Expect a refusal, and which fields it names."""
    with pytest.raises(DomainError) as caught:
        yield caught
    assert caught.value.reason == reason, caught.value
    assert tuple(dict.fromkeys(violation.field for violation in caught.value.violations)) == fields


def record_ids_of(response: im_call_pb2.SendImCallResponse) -> list[int]:
    first = int(response.call_id) + 1
    return list(range(first, first + response.record_count))


def skipped(response: im_call_pb2.SendImCallResponse) -> dict[int, str]:
    """Name why each channel gets nothing."""
    prefix = "IM_CALL_SKIP_REASON_"
    return {
        one.channel: im_call_pb2.ImCallSkipReason.Name(one.reason).removeprefix(prefix)
        for one in response.skipped_channels
    }
