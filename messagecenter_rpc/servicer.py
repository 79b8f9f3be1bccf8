"""Proto in, one call, proto out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brandmesh.messagecenter.v1 import im_call_pb2
from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from brandmesh.messagecenter.v1.messagecenter_pb2_grpc import (
    ImRecordServiceServicer,
    MessageCenterAdminServiceServicer,
    MessageCenterServiceServicer,
)
from mesh.batch_method import BatchMethod, copy
from mesh.pages import PageRequest
from mesh.timestamps import to_ms, to_timestamp
from messagecenter_rpc import wire
from messagecenter_rpc.accepting import Accepting
from messagecenter_rpc.broadcast import Broadcasts
from messagecenter_rpc.calls import Calls
from messagecenter_rpc.claiming import Claiming
from messagecenter_rpc.clients import TxIm
from messagecenter_rpc.devices import STATED_MAX, Devices
from messagecenter_rpc.domain import Channel, Event
from messagecenter_rpc.outcomes import Outcomes
from messagecenter_rpc.sweeping import Sweeping
from messagecenter_rpc.technicians import Technicians
from messagecenter_rpc.templates import Templates

Context = Any
"""grpc.aio's context, which no method here reads."""


class MessageCenterServicer(MessageCenterServiceServicer):
    """What apps and other services call."""

    def __init__(self, accepting: Accepting, calls: Calls) -> None:
        self._accepting = accepting
        self._calls = calls
        self._send = BatchMethod(self._send_all, copy, im_call_pb2.BatchSendImCallResponse)

    async def SendImCall(
        self, request: im_call_pb2.SendImCallRequest, context: Context
    ) -> im_call_pb2.SendImCallResponse:
        return await self._send.one(request)

    async def BatchSendImCall(
        self, request: im_call_pb2.BatchSendImCallRequest, context: Context
    ) -> im_call_pb2.BatchSendImCallResponse:
        return await self._send.many(request.requests)

    async def _send_all(
        self, requests: Sequence[im_call_pb2.SendImCallRequest]
    ) -> list[im_call_pb2.SendImCallResponse | BaseException]:
        outcomes = await self._accepting.accept_all([wire.send_call(request) for request in requests])
        return [one if isinstance(one, BaseException) else wire.send_response(one) for one in outcomes]

    async def GetImCall(self, request: pb.GetImCallRequest, context: Context) -> pb.GetImCallResponse:
        call, records = await self._calls.get(request.brand_id, int(request.call_id))
        return pb.GetImCallResponse(call=wire.im_call(call), records=map(wire.im_record, records))

    async def ListImCalls(self, request: pb.ListImCallsRequest, context: Context) -> pb.ListImCallsResponse:
        page = PageRequest.of(request.page_size, request.page_token)
        calls, token = await self._calls.list(request.brand_id, request.shop_id, page)
        return pb.ListImCallsResponse(calls=map(wire.im_call, calls), next_page_token=token)

    async def ListImRecords(self, request: pb.ListImRecordsRequest, context: Context) -> pb.ListImRecordsResponse:
        page = PageRequest.of(request.page_size, request.page_token)
        records, token = await self._calls.list_records(request.brand_id, int(request.call_id), page)
        return pb.ListImRecordsResponse(records=map(wire.im_record, records), next_page_token=token)

    async def CancelImCall(self, request: pb.CancelImCallRequest, context: Context) -> pb.CancelImCallResponse:
        call, count = await self._calls.cancel(request.brand_id, int(request.call_id))
        return pb.CancelImCallResponse(call=wire.im_call(call), cancelled_count=count)


class MessageCenterAdminServicer(MessageCenterAdminServiceServicer):
    """What calls follow."""

    def __init__(
        self, templates: Templates, broadcasts: Broadcasts, devices: Devices, technicians: Technicians, txim: TxIm
    ) -> None:
        self._templates = templates
        self._broadcasts = broadcasts
        self._devices = devices
        self._technicians = technicians
        self._txim = txim

    async def CreateImTemplate(
        self, request: pb.CreateImTemplateRequest, context: Context
    ) -> pb.CreateImTemplateResponse:
        template = await self._templates.create(
            request.brand_id, request.request_id, wire.body_hash(request), request.name, request.content
        )
        return pb.CreateImTemplateResponse(template=wire.im_template(template))

    async def UpdateImTemplate(
        self, request: pb.UpdateImTemplateRequest, context: Context
    ) -> pb.UpdateImTemplateResponse:
        template = await self._templates.update(request.brand_id, request.template_id, request.name, request.content)
        return pb.UpdateImTemplateResponse(template=wire.im_template(template))

    async def GetImTemplate(self, request: pb.GetImTemplateRequest, context: Context) -> pb.GetImTemplateResponse:
        template = await self._templates.get(request.brand_id, request.template_id)
        return pb.GetImTemplateResponse(template=wire.im_template(template))

    async def ListImTemplates(self, request: pb.ListImTemplatesRequest, context: Context) -> pb.ListImTemplatesResponse:
        page = PageRequest.of(request.page_size, request.page_token)
        templates, token = await self._templates.list(request.brand_id, page)
        return pb.ListImTemplatesResponse(templates=map(wire.im_template, templates), next_page_token=token)

    async def DeleteImTemplate(
        self, request: pb.DeleteImTemplateRequest, context: Context
    ) -> pb.DeleteImTemplateResponse:
        await self._templates.delete(request.brand_id, request.template_id)
        return pb.DeleteImTemplateResponse()

    async def PutBroadcastConfig(
        self, request: pb.PutBroadcastConfigRequest, context: Context
    ) -> pb.PutBroadcastConfigResponse:
        config = wire.broadcast_config(request.brand_id, request.config)
        await self._broadcasts.put(config)
        return pb.PutBroadcastConfigResponse(config=wire.broadcast_config_message(config))

    async def DeleteBroadcastConfig(
        self, request: pb.DeleteBroadcastConfigRequest, context: Context
    ) -> pb.DeleteBroadcastConfigResponse:
        event, channel = Event(request.event), Channel(request.channel)
        await self._broadcasts.delete(request.brand_id, request.shop_id, event, channel)
        return pb.DeleteBroadcastConfigResponse()

    async def ListBroadcastConfigs(
        self, request: pb.ListBroadcastConfigsRequest, context: Context
    ) -> pb.ListBroadcastConfigsResponse:
        page = PageRequest.of(request.page_size, request.page_token)
        configs, token = await self._broadcasts.list(request.brand_id, request.shop_id, page)
        return pb.ListBroadcastConfigsResponse(
            configs=map(wire.broadcast_config_message, configs), next_page_token=token
        )

    async def PutImDevice(self, request: pb.PutImDeviceRequest, context: Context) -> pb.PutImDeviceResponse:
        device = await self._devices.put(request.brand_id, request.device_id, wire.placement(request))
        return pb.PutImDeviceResponse(device=wire.im_device(device))

    async def GetImDevice(self, request: pb.GetImDeviceRequest, context: Context) -> pb.GetImDeviceResponse:
        device = await self._devices.get(request.brand_id, request.device_id)
        return pb.GetImDeviceResponse(device=wire.im_device(device))

    async def ListImDevices(self, request: pb.ListImDevicesRequest, context: Context) -> pb.ListImDevicesResponse:
        page = PageRequest.of(request.page_size, request.page_token)
        devices, token = await self._devices.list(request.brand_id, request.shop_id, page)
        return pb.ListImDevicesResponse(devices=map(wire.im_device, devices), next_page_token=token)

    async def ListImDeviceStates(
        self, request: pb.ListImDeviceStatesRequest, context: Context
    ) -> pb.ListImDeviceStatesResponse:
        devices, _ = await self._devices.list(request.brand_id, request.shop_id, PageRequest(STATED_MAX, ""))
        states = await self._txim.online_states(device.account for device in devices)
        stated = [
            pb.StatedImDevice(device=wire.im_device(device), state=wire.device_state(states, device.account))
            for device in devices
        ]
        return pb.ListImDeviceStatesResponse(devices=stated)

    async def DeleteImDevice(self, request: pb.DeleteImDeviceRequest, context: Context) -> pb.DeleteImDeviceResponse:
        await self._devices.delete(request.brand_id, request.device_id)
        return pb.DeleteImDeviceResponse()

    async def ClockOnTechnician(
        self, request: pb.ClockOnTechnicianRequest, context: Context
    ) -> pb.ClockOnTechnicianResponse:
        at_ms = to_ms(request.clock_time) if request.HasField("clock_time") else None
        technician = await self._technicians.clock(request.brand_id, request.technician_id, at_ms, on=True)
        return pb.ClockOnTechnicianResponse(technician=wire.technician_message(technician))

    async def ClockOffTechnician(
        self, request: pb.ClockOffTechnicianRequest, context: Context
    ) -> pb.ClockOffTechnicianResponse:
        at_ms = to_ms(request.clock_time) if request.HasField("clock_time") else None
        technician = await self._technicians.clock(request.brand_id, request.technician_id, at_ms, on=False)
        return pb.ClockOffTechnicianResponse(technician=wire.technician_message(technician))

    async def GetTechnician(self, request: pb.GetTechnicianRequest, context: Context) -> pb.GetTechnicianResponse:
        technician = await self._technicians.get(request.brand_id, request.technician_id)
        return pb.GetTechnicianResponse(technician=wire.technician_message(technician))


class ImRecordServicer(ImRecordServiceServicer):
    """What messagecenter_rmq calls."""

    def __init__(self, claiming: Claiming, outcomes: Outcomes, sweeping: Sweeping) -> None:
        self._claiming = claiming
        self._outcomes = outcomes
        self._sweeping = sweeping

    async def ClaimImRecords(self, request: pb.ClaimImRecordsRequest, context: Context) -> pb.ClaimImRecordsResponse:
        claimed, now_ms = await self._claiming.claim(request.record_ids, request.consumer, request.lease_seconds)
        deliveries = map(wire.im_delivery, claimed)
        return pb.ClaimImRecordsResponse(deliveries=deliveries, claim_time=to_timestamp(now_ms))

    async def RecordImOutcomes(
        self, request: pb.RecordImOutcomesRequest, context: Context
    ) -> pb.RecordImOutcomesResponse:
        await self._outcomes.record_all(list(map(wire.record_outcome, request.outcomes)), request.consumer)
        return pb.RecordImOutcomesResponse()

    async def SweepImRecords(self, request: pb.SweepImRecordsRequest, context: Context) -> pb.SweepImRecordsResponse:
        return pb.SweepImRecordsResponse(published_count=await self._sweeping.sweep(request.records_max))
