"""Everything between an app and Tencent, real but for Tencent and the clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr

from brandmesh.messagecenter.v1 import im_call_pb2, messagecenter_pb2_grpc
from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from mesh.bus.port import DEAD_SUFFIX, Bus, Delivery
from mesh.channel import Peer
from mesh.worker import Route
from mesh.worker.batch import work
from messagecenter_rmq import consumer
from messagecenter_rmq.clients import ImRecords, TxIm
from messagecenter_rmq.handlers import ImRecordHandler
from messagecenter_rmq.pipeline import Pipeline
from messagecenter_rmq.sending import Sender, SendLimits
from messagecenter_rmq.settings import Settings
from tests.messagecenter_rmq.deliveries import PARAMS, TEMPLATE
from tests.messagecenter_rmq.running import start_messagecenter, start_txim
from tests.messagecenter_rmq.tencent import Tencent, serving
from tests.sms_rpc.control import Clock, Faults, SwitchedBus
from txim_rpc.settings import Settings as TxImSettings

BRAND = 1001
SHOP = 1
QUEUE = f"im.call.{BRAND}"
LEASE_SECONDS = 60

ORDERED = im_call_pb2.ENUM_IM_CALL_EVENT_CATERING_ORDERED
KITCHEN = im_call_pb2.ENUM_IM_CALL_CHANNEL_KITCHEN
CALL_SCREEN = im_call_pb2.ENUM_IM_CALL_CHANNEL_CALL_SCREEN
CASH_DESK = im_call_pb2.ENUM_IM_CALL_CHANNEL_CASH_DESK
ROOM_PAD = im_call_pb2.ENUM_IM_CALL_CHANNEL_ROOM_PAD
TECHNICIAN = im_call_pb2.ENUM_IM_CALL_CHANNEL_TECHNICIAN
BROADCAST = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_BROADCAST
REFRESH = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_REFRESH
NOTIFICATION = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_NOTIFICATION
PAD_CALL = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_PAD_CALL


@dataclass
class Process:
    """What one process of messagecenter_rmq holds."""

    records: ImRecords
    txim: TxIm
    pipeline: Pipeline
    handler: ImRecordHandler
    route: Route
    stop: asyncio.Event


@dataclass
class Chain:
    """The whole way of a call."""

    clock: Clock
    bus: SwitchedBus
    faults: Faults
    tencent: Tencent
    messagecenter: Peer
    txim: Peer
    messagecenter_address: str
    txim_address: str
    stack: AsyncExitStack
    first: Process
    second: Process
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.calls = messagecenter_pb2_grpc.MessageCenterServiceStub(self.messagecenter.channel)
        self.admin = messagecenter_pb2_grpc.MessageCenterAdminServiceStub(self.messagecenter.channel)

    # What calls follow.

    async def put_device(self, device_id: str, channel: Any, **fields: Any) -> str:
        """Make a device known, or move it; answer its account."""
        placement: dict[str, Any] = {"brand_id": BRAND, "shop_id": SHOP, "device_id": device_id, "channel": channel}
        request = pb.PutImDeviceRequest(**(placement | fields))
        return (await self.messagecenter.call(self.admin.PutImDevice, request)).device.account

    async def delete_device(self, device_id: str) -> None:
        request = pb.DeleteImDeviceRequest(brand_id=BRAND, device_id=device_id)
        await self.messagecenter.call(self.admin.DeleteImDevice, request)

    async def put_template(self, content: str = TEMPLATE, brand_id: int = BRAND) -> int:
        request = pb.CreateImTemplateRequest(
            brand_id=brand_id, request_id=f"template-{next(self.numbers)}", name="a text", content=content
        )
        return (await self.messagecenter.call(self.admin.CreateImTemplate, request)).template.template_id

    async def change_template(self, template_id: int, content: str) -> None:
        request = pb.UpdateImTemplateRequest(brand_id=BRAND, template_id=template_id, name="a text", content=content)
        await self.messagecenter.call(self.admin.UpdateImTemplate, request)

    async def configure(self, *channels: Any, brand_id: int = BRAND, **fields: Any) -> None:
        """Let the event be spoken on these channels."""
        for channel in channels:
            config: dict[str, Any] = {"event": ORDERED, "channel": channel, "enabled": True}
            request = pb.PutBroadcastConfigRequest(brand_id=brand_id, config=pb.BroadcastConfig(**(config | fields)))
            await self.messagecenter.call(self.admin.PutBroadcastConfig, request)

    async def clock_on(self, technician_id: str) -> None:
        request = pb.ClockOnTechnicianRequest(brand_id=BRAND, technician_id=technician_id)
        await self.messagecenter.call(self.admin.ClockOnTechnician, request)

    async def clock_off(self, technician_id: str) -> None:
        request = pb.ClockOffTechnicianRequest(brand_id=BRAND, technician_id=technician_id)
        await self.messagecenter.call(self.admin.ClockOffTechnician, request)

    async def open_kitchen(self, brand_id: int = BRAND, **config: Any) -> str:
        """Have one kitchen that speaks orders; answer its account."""
        template_id = await self.put_template(brand_id=brand_id)
        await self.configure(KITCHEN, brand_id=brand_id, **({"template_id": template_id} | config))
        return await self.put_device("kitchen", KITCHEN, brand_id=brand_id)

    # Calls and their records.

    async def call(self, *channels: Any, **fields: Any) -> str:
        """Call; answer the call."""
        request: dict[str, Any] = {
            "brandId": BRAND,
            "shopId": SHOP,
            "event": ORDERED,
            "Channels": channels or [KITCHEN],
            "callParams": PARAMS,
            "MsgType": BROADCAST,
            "request_id": f"call-{next(self.numbers)}",
        }
        response = await self.messagecenter.call(
            self.calls.SendImCall, im_call_pb2.SendImCallRequest(**(request | fields))
        )
        return response.call_id

    async def cancel(self, call_id: str) -> int:
        request = pb.CancelImCallRequest(brand_id=BRAND, call_id=call_id)
        return (await self.messagecenter.call(self.calls.CancelImCall, request)).cancelled_count

    async def records(self, call_id: str, brand_id: int = BRAND) -> list[pb.ImRecord]:
        request = pb.GetImCallRequest(brand_id=brand_id, call_id=call_id)
        return list((await self.messagecenter.call(self.calls.GetImCall, request)).records)

    async def ends(self, call_id: str) -> list[tuple[str, str, str]]:
        """Read status, reason and detail of each record of a call."""
        return [
            (pb.ImRecordStatus.Name(one.status).removeprefix("IM_RECORD_STATUS_"), one.reason, one.detail)
            for one in await self.records(call_id)
        ]

    async def statuses(self, call_id: str) -> list[str]:
        return [status for status, _, _ in await self.ends(call_id)]

    # Work that is done when a test says so.

    async def work(self, process: Process | None = None) -> None:
        """Let a process work its queues until nothing is due."""
        while any([await self._work_queue(process or self.first, queue) for queue in await self.bus.queues("")]):
            pass

    async def _work_queue(self, process: Process, queue: str) -> bool:
        route = process.route
        if not route.takes(queue) or queue.endswith(DEAD_SUFFIX):
            return False
        deliveries = await self.bus.receive(queue, route.batch_max, route.visibility_seconds)
        if deliveries:
            await work(self.bus, route, queue, deliveries)
        return bool(deliveries)

    async def go_on(self, seconds: float, process: Process | None = None) -> None:
        """Let time pass, then sweep and work."""
        self.clock.pass_seconds(seconds)
        await (process or self.first).records.sweep(1000)
        await self.work(process)

    async def dead_letters(self) -> Sequence[Delivery]:
        return await self.bus.list_dead(QUEUE, 100)

    async def open_process(self, name: str, txim: Peer | None = None, **settings: Any) -> Process:
        """Start another process of messagecenter_rmq."""
        return await _open_process(self.messagecenter, txim or self.txim, self.clock, name, self.stack, **settings)


@asynccontextmanager
async def running_chain(
    directory: Path, clock: Clock | None = None, bus: Bus | None = None, **txim_settings: Any
) -> AsyncIterator[Chain]:
    """Start two processes of messagecenter_rmq, which work when they are told to. Only the usual bus can be away."""
    async with AsyncExitStack() as stack:
        clock, faults, tencent = clock or Clock(), Faults(), Tencent()
        url = await stack.enter_async_context(serving(tencent))
        txim = await start_txim(directory, _txim_settings(url, **txim_settings), clock, faults, stack)
        chosen_bus = cast("SwitchedBus", bus) if bus else SwitchedBus(lambda: clock.now_ms)
        messagecenter = await start_messagecenter(directory, chosen_bus, clock, faults, txim.peer, stack)
        first, second = [
            await _open_process(messagecenter.peer, txim.peer, clock, name, stack) for name in ("first", "second")
        ]
        yield Chain(
            clock=clock,
            bus=chosen_bus,
            faults=faults,
            tencent=tencent,
            messagecenter=messagecenter.peer,
            txim=txim.peer,
            messagecenter_address=messagecenter.address,
            txim_address=txim.address,
            stack=stack,
            first=first,
            second=second,
        )


async def _open_process(  # what a test has in its hands
    messagecenter: Peer, txim_peer: Peer, clock: Clock, name: str, stack: AsyncExitStack, **changes: Any
) -> Process:
    settings = settings_of(**changes)
    stop = asyncio.Event()
    records = await stack.enter_async_context(
        aclosing(ImRecords(messagecenter, name, settings.lease_seconds, clock.seconds))
    )
    txim = TxIm(txim_peer, settings.send_timeout_seconds, clock.seconds)
    limits = SendLimits(settings.sends_in_flight_max, settings.send_timeout_seconds)
    sender = Sender(records, txim, limits, clock.seconds)
    pipeline = await stack.enter_async_context(
        aclosing(Pipeline(records, sender, settings.batch_recipients_max, settings.lease_seconds, stop))
    )
    handler = ImRecordHandler(pipeline)
    return Process(records, txim, pipeline, handler, consumer.route(settings, handler), stop)


@cache
def settings_of(**changes: Any) -> Settings:
    """Make settings of messagecenter_rmq. Once: that takes longer than most tests."""
    return Settings.model_validate({"lease_seconds": LEASE_SECONDS} | changes)


def _txim_settings(url: str, **changes: Any) -> TxImSettings:
    fields: dict[str, Any] = {
        "txim_url": url,
        "txim_sdk_app_id": 1,
        "txim_secret_key": SecretStr("secret"),
        "circuit_failures_max": 1000,
    }
    return TxImSettings.model_validate(fields | changes)
