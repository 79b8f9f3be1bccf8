"""Made-up deliveries, as a claim answers them, with one thing changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brandmesh.messagecenter.v1 import im_call_pb2, messagecenter_pb2
from mesh.timestamps import to_timestamp

NOW_MS = 1_700_000_000_123
TEMPLATE = "{roomName}房间下单了{goodsName}{num}份,请注意"
PARAMS = {"roomName": "801", "goodsName": "水饺", "num": "2"}
TEXT = "801房间下单了水饺2份,请注意"


def recipient(number: int = 1, **changes: Any) -> messagecenter_pb2.ImRecipient:
    fields: dict[str, Any] = {"record_id": 100 + number, "account": f"kitchen-{number}", "nick": f"Kitchen {number}"}
    return messagecenter_pb2.ImRecipient(**(fields | changes))


def delivery(recipients: Sequence[messagecenter_pb2.ImRecipient] = (), **changes: Any) -> messagecenter_pb2.ImDelivery:
    """Make a broadcast to one kitchen, or to `recipients`, that nothing speaks against."""
    fields: dict[str, Any] = {
        "call_id": 17,
        "brand_id": 1001,
        "shop_id": 1,
        "event": im_call_pb2.ENUM_IM_CALL_EVENT_CATERING_ORDERED,
        "channel": im_call_pb2.ENUM_IM_CALL_CHANNEL_KITCHEN,
        "msg_type": im_call_pb2.ENUM_IM_CALL_MSG_TYPE_BROADCAST,
        "repeat_number": 1,
        "params": PARAMS,
        "template_content": TEMPLATE,
        "msg_random": 4_000_000_000,
        "due_time": to_timestamp(NOW_MS - 1000),
        "expire_time": to_timestamp(NOW_MS + 600_000),
        "recipients": recipients or [recipient()],
    }
    fields |= changes
    return messagecenter_pb2.ImDelivery(**{name: value for name, value in fields.items() if value is not None})
