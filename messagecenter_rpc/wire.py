"""The contract's messages and this service's words: each from the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from google.protobuf.message import Message

from brandmesh.messagecenter.v1 import im_call_pb2, messagecenter_pb2
from mesh.timestamps import to_timestamp
from messagecenter_rpc.acceptance import Designated, SendCall
from messagecenter_rpc.broadcast import BroadcastConfig
from messagecenter_rpc.checks import Delivery, Recipient
from messagecenter_rpc.clients import OnlineState
from messagecenter_rpc.devices import Device, Placement
from messagecenter_rpc.domain import Call, Channel, Event, MsgType, Outcome, Record
from messagecenter_rpc.outcomes import RecordOutcome
from messagecenter_rpc.quiet_hours import QuietHours
from messagecenter_rpc.technicians import Technician
from messagecenter_rpc.templates import Template


def body_hash(request: Message) -> str:
    """Tell two requests with the same id apart: 128 bits of the same bytes for the same request."""
    return hashlib.blake2b(request.SerializeToString(deterministic=True), digest_size=16).hexdigest()


def send_call(request: im_call_pb2.SendImCallRequest) -> SendCall:
    return SendCall(
        brand_id=request.brandId,
        request_id=request.request_id,
        body_hash=body_hash(request),
        shop_id=request.shopId,
        event=Event(request.event),
        channels=tuple(map(Channel, request.Channels)),
        params=dict(request.callParams),
        msg_type=MsgType(request.MsgType),
        msg_template_id=request.msgTemplateId,
        designated=tuple(Designated(Channel(one.channel), one.account, one.location) for one in request.designatedList),
    )


def send_response(call: Call) -> im_call_pb2.SendImCallResponse:
    return im_call_pb2.SendImCallResponse(
        call_id=str(call.call_id), record_count=call.record_count, skipped_channels=_skipped(call)
    )


def _skipped(call: Call) -> list[im_call_pb2.SkippedChannel]:
    return [
        im_call_pb2.SkippedChannel(channel=_channel(channel), reason=im_call_pb2.ImCallSkipReason.ValueType(reason))
        for channel, reason in call.skipped
    ]


def _channel(channel: Channel) -> im_call_pb2.EnumImCallChannel.ValueType:
    return im_call_pb2.EnumImCallChannel.ValueType(channel)


def _event(event: Event) -> im_call_pb2.EnumImCallEvent.ValueType:
    return im_call_pb2.EnumImCallEvent.ValueType(event)


def _msg_type(msg_type: MsgType) -> im_call_pb2.EnumImCallMsgType.ValueType:
    return im_call_pb2.EnumImCallMsgType.ValueType(msg_type)


def im_call(call: Call) -> messagecenter_pb2.ImCall:
    return messagecenter_pb2.ImCall(
        call_id=str(call.call_id),
        shop_id=call.shop_id,
        event=_event(call.event),
        channels=map(_channel, call.channels),
        call_params=call.params,
        msg_type=_msg_type(call.msg_type),
        msg_template_id=call.msg_template_id,
        record_count=call.record_count,
        skipped_channels=_skipped(call),
        create_time=to_timestamp(call.created_at_ms),
        cancel_time=to_timestamp(call.cancelled_at_ms),
    )


def im_record(record: Record) -> messagecenter_pb2.ImRecord:
    return messagecenter_pb2.ImRecord(
        record_id=str(record.record_id),
        channel=_channel(record.channel),
        account=record.account,
        repeat_number=record.repeat_number,
        status=messagecenter_pb2.ImRecordStatus.Value(f"IM_RECORD_STATUS_{record.status}"),
        reason=record.reason,
        detail=record.detail,
        text=record.text,
        due_time=to_timestamp(record.due_at_ms),
        end_time=to_timestamp(record.ended_at_ms),
        attempt=record.attempt,
    )


def im_template(template: Template) -> messagecenter_pb2.ImTemplate:
    return messagecenter_pb2.ImTemplate(
        template_id=template.template_id,
        name=template.name,
        content=template.content,
        parameters=template.parameters,
        create_time=to_timestamp(template.created_at_ms),
        update_time=to_timestamp(template.updated_at_ms),
    )


def broadcast_config(brand_id: int, config: messagecenter_pb2.BroadcastConfig) -> BroadcastConfig:
    quiet = config.quiet_hours
    return BroadcastConfig(
        brand_id=brand_id,
        shop_id=config.shop_id,
        event=Event(config.event),
        channel=Channel(config.channel),
        enabled=config.enabled,
        template_id=config.template_id,
        repeat_count=config.repeat_count,
        interval_seconds=config.interval_seconds,
        first_delay_seconds=config.first_delay_seconds,
        quiet_hours=(QuietHours(quiet.start, quiet.end, quiet.time_zone) if config.HasField("quiet_hours") else None),
    )


def broadcast_config_message(config: BroadcastConfig) -> messagecenter_pb2.BroadcastConfig:
    quiet = config.quiet_hours
    return messagecenter_pb2.BroadcastConfig(
        shop_id=config.shop_id,
        event=_event(config.event),
        channel=_channel(config.channel),
        enabled=config.enabled,
        template_id=config.template_id,
        repeat_count=config.repeat_count,
        interval_seconds=config.interval_seconds,
        first_delay_seconds=config.first_delay_seconds,
        quiet_hours=(
            messagecenter_pb2.QuietHours(start=quiet.start, end=quiet.end, time_zone=quiet.time_zone) if quiet else None
        ),
    )


def placement(request: messagecenter_pb2.PutImDeviceRequest) -> Placement:
    return Placement(request.shop_id, Channel(request.channel), request.location, request.technician_id)


def im_device(device: Device) -> messagecenter_pb2.ImDevice:
    return messagecenter_pb2.ImDevice(
        device_id=device.device_id,
        shop_id=device.shop_id,
        channel=_channel(device.channel),
        location=device.location,
        technician_id=device.technician_id,
        account=device.account,
        create_time=to_timestamp(device.created_at_ms),
        update_time=to_timestamp(device.updated_at_ms),
    )


def device_state(states: Mapping[str, OnlineState], account: str) -> messagecenter_pb2.ImDeviceState.ValueType:
    return messagecenter_pb2.ImDeviceState.ValueType(states.get(account, OnlineState.NOT_KNOWN))


def technician_message(technician: Technician) -> messagecenter_pb2.Technician:
    return messagecenter_pb2.Technician(
        technician_id=technician.technician_id,
        clocked_on=technician.clocked_on,
        clock_time=to_timestamp(technician.clock_at_ms),
    )


def im_delivery(delivery: Delivery) -> messagecenter_pb2.ImDelivery:
    call = delivery.call
    return messagecenter_pb2.ImDelivery(
        call_id=call.call_id,
        brand_id=call.brand_id,
        shop_id=call.shop_id,
        event=_event(call.event),
        channel=_channel(delivery.channel),
        msg_type=_msg_type(call.msg_type),
        repeat_number=delivery.repeat_number,
        params=call.params,
        template_content=delivery.template_content,
        msg_random=delivery.msg_random,
        due_time=to_timestamp(delivery.due_at_ms),
        expire_time=to_timestamp(delivery.expire_at_ms),
        call_cancelled=bool(call.cancelled_at_ms),
        switched_off=delivery.switched_off,
        quiet=delivery.quiet,
        recipients=map(_recipient, delivery.recipients),
    )


def _recipient(recipient: Recipient) -> messagecenter_pb2.ImRecipient:
    record = recipient.record
    return messagecenter_pb2.ImRecipient(
        record_id=record.record_id,
        account=record.account,
        nick=recipient.nick,
        attempt=record.attempt,
        may_be_sent=record.may_be_sent,
        device_gone=recipient.device_gone,
        device_moved=recipient.device_moved,
        technician_clocked_off=recipient.technician_clocked_off,
    )


def record_outcome(outcome: messagecenter_pb2.ImRecordOutcome) -> RecordOutcome:
    return RecordOutcome(
        outcome.record_ids,
        Outcome(outcome.outcome),
        outcome.reason,
        outcome.detail,
        outcome.text,
        outcome.retry_after_seconds,
    )
