"""What a delivery carries: a text for people with a few facts beside it, or data that has a page loaded anew."""

from __future__ import annotations

import json
from functools import lru_cache

from brandmesh.messagecenter.v1.im_call_pb2 import (
    ENUM_IM_CALL_MSG_TYPE_REFRESH,
    EnumImCallChannel,
    EnumImCallEvent,
    EnumImCallMsgType,
)
from brandmesh.messagecenter.v1.messagecenter_pb2 import ImDelivery
from brandmesh.txim.v1.txim_pb2 import ImMessage
from mesh.text_template import MissingParameterError, TemplateError, TextTemplate, parse_template

CONTENT_BYTES_MAX = 12 * 1024
"""Tencent Cloud IM: a message has at most 12 KB (ErrorCode 93000)."""

_TEMPLATES_CACHED = 1024


class RenderError(Exception):
    """A delivery has no content. `reason` is UPPER_SNAKE, `detail` says what it is about."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def render(delivery: ImDelivery) -> ImMessage:
    """Make the message of a delivery: in each try the same, as long as its template is. Raises RenderError."""
    message = ImMessage(msg_random=delivery.msg_random, msg_time=delivery.due_time, expire_time=delivery.expire_time)
    if delivery.msg_type == ENUM_IM_CALL_MSG_TYPE_REFRESH:
        message.custom_data = _fitting(_json(_facts(delivery) | {"params": dict(sorted(delivery.params.items()))}))
    else:
        message.text = _fitting(_text(delivery))
        message.cloud_custom_data = _json(_facts(delivery))
    return message


def msg_type_name(msg_type: EnumImCallMsgType.ValueType) -> str:
    """Name a type as apps and metrics do: `broadcast`, `refresh`, `notification`, `pad_call`."""
    return EnumImCallMsgType.Name(msg_type).removeprefix("ENUM_IM_CALL_MSG_TYPE_").lower()


def _facts(delivery: ImDelivery) -> dict[str, object]:
    """Say what an app goes by. A 64-bit id is a string, because JavaScript's numbers have 53 bits."""
    return {
        "callId": str(delivery.call_id),
        "event": EnumImCallEvent.Name(delivery.event).removeprefix("ENUM_IM_CALL_EVENT_").lower(),
        "msgType": msg_type_name(delivery.msg_type),
        "channel": EnumImCallChannel.Name(delivery.channel).removeprefix("ENUM_IM_CALL_CHANNEL_").lower(),
        "shopId": delivery.shop_id,
    }


def _text(delivery: ImDelivery) -> str:
    if not delivery.HasField("template_content"):
        raise RenderError("TEMPLATE_GONE")
    try:
        text = _template(delivery.template_content).render(delivery.params)
    except MissingParameterError as error:
        raise RenderError("MISSING_PARAMETER", error.name) from error
    except TemplateError as error:
        raise RenderError("TEMPLATE_UNREADABLE", str(error)) from error
    if not text.strip():
        raise RenderError("EMPTY_TEXT")
    return text


@lru_cache(maxsize=_TEMPLATES_CACHED)
def _template(content: str) -> TextTemplate:
    return parse_template(content)


def _fitting(content: str) -> str:
    size = len(content.encode())
    if size > CONTENT_BYTES_MAX:
        raise RenderError("MESSAGE_TOO_LONG", f"{size} bytes")
    return content


def _json(value: dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
