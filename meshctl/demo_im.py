"""The IM part of the demonstration: a furnished shop, and one call from a room to the kitchen."""

from __future__ import annotations

import asyncio
import time

from brandmesh.messagecenter.v1 import im_call_pb2, messagecenter_pb2
from brandmesh.messagecenter.v1.messagecenter_pb2_grpc import MessageCenterAdminServiceStub
from mesh.channel import Peer
from meshctl.app import App, Json

SHOP_ID = 1

_TEMPLATE = "{roomName}房间下单了{goodsName}{num}份,请注意"
_SENT_SECONDS_MAX = 30.0
_KITCHEN = im_call_pb2.ENUM_IM_CALL_CHANNEL_KITCHEN
_CALL_SCREEN = im_call_pb2.ENUM_IM_CALL_CHANNEL_CALL_SCREEN
_DEVICES = (
    messagecenter_pb2.PutImDeviceRequest(device_id="kitchen-1", channel=_KITCHEN, location="main"),
    messagecenter_pb2.PutImDeviceRequest(device_id="screen-1", channel=_CALL_SCREEN, location="hall"),
    messagecenter_pb2.PutImDeviceRequest(device_id="desk-1", channel=im_call_pb2.ENUM_IM_CALL_CHANNEL_CASH_DESK),
    messagecenter_pb2.PutImDeviceRequest(device_id="desk-2", channel=im_call_pb2.ENUM_IM_CALL_CHANNEL_CASH_DESK),
    messagecenter_pb2.PutImDeviceRequest(
        device_id="pad-801", channel=im_call_pb2.ENUM_IM_CALL_CHANNEL_ROOM_PAD, location="801"
    ),
    messagecenter_pb2.PutImDeviceRequest(
        device_id="phone-17", channel=im_call_pb2.ENUM_IM_CALL_CHANNEL_TECHNICIAN, technician_id="17"
    ),
    messagecenter_pb2.PutImDeviceRequest(
        device_id="service-1", channel=im_call_pb2.ENUM_IM_CALL_CHANNEL_SERVICE_DESK, location="hall"
    ),
)
_REPEATS = {_KITCHEN: 3, _CALL_SCREEN: 1}
_INTERVAL_SECONDS = 20


async def furnish(peer: Peer, brand_id: int) -> None:
    """Give a brand a shop with devices, and a text that its kitchen and call screen speak. Repeatable."""
    admin = MessageCenterAdminServiceStub(peer.channel)
    for device in _DEVICES:
        placed = messagecenter_pb2.PutImDeviceRequest(brand_id=brand_id, shop_id=SHOP_ID)
        placed.MergeFrom(device)
        await peer.call(admin.PutImDevice, placed)
    template = messagecenter_pb2.CreateImTemplateRequest(
        brand_id=brand_id, request_id="demo-ordered", name="A room ordered", content=_TEMPLATE
    )
    template_id = (await peer.call(admin.CreateImTemplate, template)).template.template_id
    for channel, repeats in _REPEATS.items():
        config = messagecenter_pb2.BroadcastConfig(
            event=im_call_pb2.ENUM_IM_CALL_EVENT_CATERING_ORDERED,
            channel=channel,
            enabled=True,
            template_id=template_id,
            repeat_count=repeats,
            interval_seconds=_INTERVAL_SECONDS,
        )
        put = messagecenter_pb2.PutBroadcastConfigRequest(brand_id=brand_id, config=config)
        await peer.call(admin.PutBroadcastConfig, put)


async def call_kitchen(app: App) -> Json:
    """Call kitchen and call screen through the gateway; answer GetImCall's JSON once each has spoken once."""
    body = {
        "requestId": f"demo-{time.time_ns()}",
        "event": "catering_ordered",
        "Channels": ["kitchen", "call_screen"],
        "callParams": {"roomName": "801", "goodsName": "水饺", "num": "2"},
        "shopId": SHOP_ID,
        "MsgType": "broadcast",
    }
    path = f"/imCalls/{(await app.ok('POST', '/imCalls', body))['callId']}"
    async with asyncio.timeout(_SENT_SECONDS_MAX):
        while True:
            call = await app.ok("GET", path)
            if all(one["status"] == "sent" for one in call["records"] if one["repeatNumber"] == 1):
                return call
            await asyncio.sleep(0.05)
