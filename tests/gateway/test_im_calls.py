import pytest

from brandmesh.messagecenter.v1 import im_call_pb2
from tests.gateway.harness import BRAND, Served
from tests.gateway.test_api import ask, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALLS = f"/v1/brands/{BRAND}/imCalls"
CONFIGS = f"/v1/brands/{BRAND}/broadcastConfigs"
CALL = {
    "event": "catering_ordered",
    "Channels": ["kitchen", 2],
    "callParams": {"roomName": "801", "goodsName": "水饺", "num": "2"},
    "shopId": 7,
    "designatedList": [{"channel": "kitchen", "location": "801"}],
    "MsgType": 1,
    "requestId": "order-1",
}


async def test_call_keeps_the_names_of_its_source(served: Served) -> None:
    status, answer, _ = await ask(served, "POST", CALLS, json=CALL)
    assert status == 200
    assert answer == {
        "callId": "7",
        "recordCount": 3,
        "skippedChannels": [{"channel": "call_screen", "reason": "switched_off"}],
    }
    sent = served.message_center.calls[-1]
    assert (sent.brandId, sent.shopId, sent.request_id) == (BRAND, 7, "order-1")
    assert dict(sent.callParams) == CALL["callParams"]
    assert list(sent.Channels) == [
        im_call_pb2.ENUM_IM_CALL_CHANNEL_KITCHEN,
        im_call_pb2.ENUM_IM_CALL_CHANNEL_CALL_SCREEN,
    ]
    assert sent.MsgType == im_call_pb2.ENUM_IM_CALL_MSG_TYPE_BROADCAST
    assert sent.designatedList[0].location == "801"


async def test_a_key_calls_for_its_own_brand_alone(served: Served) -> None:
    before = len(served.message_center.calls)
    status, reason, _ = await refusal(served, "POST", "/v1/brands/1002/imCalls", json=CALL)
    assert (status, reason) == (403, "BRAND_NOT_ALLOWED")
    _, reason, problem = await refusal(served, "POST", CALLS, json={**CALL, "brandId": 1002})
    assert (reason, problem["violations"][0]["field"]) == ("INVALID_REQUEST", "brandId")
    assert len(served.message_center.calls) == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event": "earthquake"}, "event"),
        ({"event": 99}, "event"),
        ({"event": None}, "event"),
        ({"Channels": ["cellar"]}, "Channels[0]"),
        ({"Channels": []}, "Channels"),
        ({"Channels": [1, 1]}, "Channels"),
        ({"MsgType": 5}, "MsgType"),
        ({"MsgType": 0}, "MsgType"),
        ({"shopId": 0}, "shopId"),
        ({"callParams": {"num": 2}}, "callParams.num"),
        ({"callParams": {"{": "2"}}, "callParams[{]"),
        ({"channels": [1]}, "channels"),
        ({"requestId": ""}, "requestId"),
    ],
)
async def test_bad_input_is_refused_with_the_field(served: Served, change: dict[str, object], field: str) -> None:
    before = len(served.message_center.calls)
    status, reason, problem = await refusal(served, "POST", CALLS, json={**CALL, **change})
    assert (status, reason) == (400, "INVALID_REQUEST")
    assert problem["violations"][0]["field"] == field
    assert len(served.message_center.calls) == before


async def test_configuration_is_put_whole_and_removed_by_its_key(served: Served) -> None:
    config = {
        "shopId": 7,
        "event": "catering_ordered",
        "channel": "kitchen",
        "enabled": True,
        "templateId": 5,
        "repeatCount": 3,
        "intervalSeconds": 60,
        "firstDelaySeconds": 0,
        "quietHours": {"start": "23:00", "end": "07:00", "timeZone": ""},
    }
    status, answer, _ = await ask(served, "PUT", CONFIGS, json={"config": config})
    assert (status, answer) == (200, {"config": config})
    status, _, _ = await ask(served, "DELETE", f"{CONFIGS}?event=catering_ordered&channel=kitchen&shopId=7")
    assert status == 200
    removed = served.message_center.removed[-1]
    assert (removed.brand_id, removed.shop_id) == (BRAND, 7)
    assert removed.channel == im_call_pb2.ENUM_IM_CALL_CHANNEL_KITCHEN
