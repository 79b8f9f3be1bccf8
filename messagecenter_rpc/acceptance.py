"""What a call has to fulfil before anything is stored, and which messages it becomes. Nothing is read or written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc

from mesh.errors import DomainError, FieldViolation, invalid_request
from mesh.text_template import parse_template
from messagecenter_rpc.broadcast import BroadcastConfig, ConfigKey, Configs
from messagecenter_rpc.control_characters import is_plain_text
from messagecenter_rpc.devices import Device
from messagecenter_rpc.domain import RECORDS_MAX, RULES, Channel, Event, MsgType, SkipReason
from messagecenter_rpc.templates import Template

MESSAGE_BYTES_MAX = 12_288
"""The largest message that Tencent takes: 12 KB (ErrorCode 93000)."""

ENVELOPE_BYTES = 512
"""What goes along with the text or the parameters of a message: what happened, in which shop, and ids."""


@dataclass(frozen=True, slots=True)
class Designated:
    """One account that a channel is narrowed to: by itself, or by the place of its device."""

    channel: Channel
    account: str
    location: str


@dataclass(frozen=True, slots=True)
class SendCall:
    """A call as it was asked for. `body_hash` tells two requests with the same id apart."""

    brand_id: int
    request_id: str
    body_hash: str
    shop_id: int
    event: Event
    channels: tuple[Channel, ...]
    params: Mapping[str, str]
    msg_type: MsgType
    msg_template_id: int
    designated: tuple[Designated, ...]

    @property
    def config_key(self) -> ConfigKey:
        return self.brand_id, self.shop_id, self.event


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands when calls are accepted: devices by (brand_id, shop_id), templates by id, of any brands."""

    now_ms: int
    configs: Configs
    devices: Mapping[tuple[int, int], Sequence[Device]]
    templates: Mapping[int, Template]


@dataclass(frozen=True, slots=True)
class Recipient:
    """One account, and the place by which the call named it, if it did."""

    account: str
    location: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """One content at one time, to the accounts of one channel."""

    channel: Channel
    repeat_number: int
    due_at_ms: int
    template_id: int
    recipients: Sequence[Recipient]


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that is in order: its contents in the order of their times, and the channels that get none."""

    request: SendCall
    accepted_at_ms: int
    contents: Sequence[Content]
    skipped: tuple[tuple[Channel, SkipReason], ...]

    @property
    def record_count(self) -> int:
        return sum(len(content.recipients) for content in self.contents)


def prepare(request: SendCall, standing: Standing) -> PreparedCall:
    """Check a call and lay out its messages. Raises INVALID_REQUEST naming each field, IM_CALL_TOO_LARGE."""
    devices = [
        device
        for device in standing.devices.get((request.brand_id, request.shop_id), ())
        if device.channel in request.channels
    ]
    violations = [
        *_template_violations(request, standing.templates),
        *_params_violations(request.params),
        *_designated_violations(request, devices),
    ]
    if violations:
        raise invalid_request(*violations)
    contents: list[Content] = []
    skipped: list[tuple[Channel, SkipReason]] = []
    for channel in request.channels:
        outcome = _channel_contents(request, channel, _recipients(request, channel, devices), standing)
        if isinstance(outcome, SkipReason):
            skipped.append((channel, outcome))
        else:
            contents += outcome
    contents.sort(key=lambda content: content.due_at_ms)
    prepared = PreparedCall(request, standing.now_ms, contents, tuple(skipped))
    _check_size(prepared, standing.templates)
    return prepared


def _channel_contents(
    request: SendCall, channel: Channel, recipients: Sequence[Recipient], standing: Standing
) -> list[Content] | SkipReason:
    """Say what a channel gets, or why it gets nothing."""
    rule = RULES[request.msg_type]
    config = standing.configs.effective(request.config_key, channel)
    template_id = _template_id(request, config)
    if config is not None and not config.enabled:
        return SkipReason.SWITCHED_OFF
    if rule.is_configured and (config is None or not template_id):
        return SkipReason.NOT_CONFIGURED
    delays_ms = config.delays_ms if config is not None and rule.is_repeated else [0]
    times = list(enumerate((standing.now_ms + delay_ms for delay_ms in delays_ms), start=1))
    if config is not None and config.quiet_hours is not None and rule.minds_quiet_hours:
        times = [(number, at_ms) for number, at_ms in times if not config.quiet_hours.contains(at_ms)]
    if not times:
        return SkipReason.QUIET_HOURS
    if not recipients:
        return SkipReason.NO_DEVICE
    return [Content(channel, number, at_ms, template_id, recipients) for number, at_ms in times]


def _template_id(request: SendCall, config: BroadcastConfig | None) -> int:
    """Choose the template: the call's own, else the configured one; 0 is none."""
    if not RULES[request.msg_type].has_text:
        return 0
    return request.msg_template_id or (config.template_id if config else 0)


def _recipients(request: SendCall, channel: Channel, devices: Sequence[Device]) -> list[Recipient]:
    """Name the accounts of a channel, each once: those that the call designates, else all in the shop."""
    ours = [device for device in devices if device.channel is channel]
    designated = [one for one in request.designated if one.channel is channel]
    if not designated:
        return [Recipient(account) for account in dict.fromkeys(device.account for device in ours)]
    accounts_at: dict[str, list[str]] = {}
    for device in ours:
        accounts_at.setdefault(device.location, []).append(device.account)
    places: dict[str, str] = {}
    for one in dict.fromkeys(designated):
        for account in [one.account] if one.account else accounts_at[one.location]:
            # Named in two ways, it is bound to none of the places.
            places[account] = one.location if places.get(account, one.location) == one.location else ""
    return [Recipient(account, location) for account, location in places.items()]


def _template_violations(request: SendCall, templates: Mapping[int, Template]) -> list[FieldViolation]:
    if not request.msg_template_id:
        if RULES[request.msg_type].needs_own_template:
            return [FieldViolation("msgTemplateId", f"is needed when MsgType is {request.msg_type.value}")]
        return []
    template = templates.get(request.msg_template_id)
    if template is None or template.brand_id != request.brand_id:
        return [FieldViolation("msgTemplateId", "is not a template of this brand")]
    return []


def _params_violations(params: Mapping[str, str]) -> list[FieldViolation]:
    violations = [
        FieldViolation(f"callParams[{name}]", "has a control character other than a line break")
        for name, value in params.items()
        if not is_plain_text(value)
    ]
    if len(_json(dict(params)).encode()) > MESSAGE_BYTES_MAX:
        violations.append(FieldViolation("callParams", f"take more than {MESSAGE_BYTES_MAX} bytes as JSON"))
    return violations


def _designated_violations(request: SendCall, devices: Sequence[Device]) -> list[FieldViolation]:
    accounts = {(device.channel, device.account) for device in devices}
    locations = {(device.channel, device.location) for device in devices}
    violations = []
    for position, one in enumerate(request.designated):
        field = f"designatedList[{position}]"
        if one.channel not in request.channels:
            violations.append(FieldViolation(f"{field}.channel", "is not among Channels"))
        elif bool(one.account) == bool(one.location):
            violations.append(FieldViolation(f"{field}.account", "give either the account or the location"))
        elif one.account and (one.channel, one.account) not in accounts:
            violations.append(FieldViolation(f"{field}.account", "is no account of this channel in the shop"))
        elif one.location and (one.channel, one.location) not in locations:
            violations.append(FieldViolation(f"{field}.location", "has no device of this channel in the shop"))
    return violations


def _check_size(prepared: PreparedCall, templates: Mapping[int, Template]) -> None:
    """Refuse what Tencent would not take, or what one transaction should not hold."""
    params = prepared.request.params
    for template_id in {content.template_id for content in prepared.contents}:
        if _message_bytes(params, templates.get(template_id)) > MESSAGE_BYTES_MAX:
            raise invalid_request(
                FieldViolation("callParams", f"make a message of more than {MESSAGE_BYTES_MAX} bytes")
            )
    if prepared.record_count > RECORDS_MAX:
        raise DomainError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "IM_CALL_TOO_LARGE",
            f"the call would be {prepared.record_count} messages, {RECORDS_MAX} at most; name fewer channels, or"
            " designate accounts",
            metadata={"records": str(prepared.record_count), "records_max": str(RECORDS_MAX)},
        )


def _message_bytes(params: Mapping[str, str], template: Template | None) -> int:
    """Count the bytes of a message as it goes to Tencent. Parameters that are missing count nothing."""
    if template is None:
        element = {"MsgType": "TIMCustomElem", "MsgContent": {"Data": _json(dict(params))}}
    else:
        text = parse_template(template.content)
        filled = text.render({name: params.get(name, "") for name in text.parameters})
        element = {"MsgType": "TIMTextElem", "MsgContent": {"Text": filled}}
    return len(_json([element]).encode()) + ENVELOPE_BYTES


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
