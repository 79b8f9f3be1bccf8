"""One SMS from the REST call to its receipt, through real processes, whether the provider behaves or not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshctl.app import Json
from tests.chain.harness import Chain, eventually, new_id, phone

pytestmark = pytest.mark.asyncio(loop_scope="session")


def steps(message: Json) -> list[str]:
    return [event["status"] for event in message["timeline"]]


async def test_goes_all_the_way_and_costs_one(healed: Chain) -> None:
    app = healed.apps[0]
    before = await app.account()
    sent = await app.send(new_id(), phone(1))
    message = await app.until(sent["messages"][0]["messageId"], "delivered")
    assert steps(message) == ["accepted", "queued", "charged", "submitted", "delivered"]
    assert message["sms"]["text"].startswith("【brandmesh】Your code is ")
    after = await app.account()
    assert (before["available"] - after["available"], after["spent"] - before["spent"]) == (1, 1)
    assert after["granted"] == after["available"] + after["frozen"] + after["spent"] + after["expired"]


async def test_a_repeat_answers_the_same_and_sends_once(healed: Chain) -> None:
    app, request_id = healed.apps[0], new_id()
    first = await app.send(request_id, phone(2))
    await app.until(first["messages"][0]["messageId"], "delivered")
    assert await app.send(request_id, phone(2)) == first
    status, problem = await app.call(
        "POST",
        "/sms",
        {"requestId": request_id, "type": "marketing", "phones": [phone(3)], "content": "x", "signature": "brandmesh"},
    )
    assert (status, problem["reason"]) == (409, "KEY_REUSED")
    assert (await healed.stats())["duplicates"] == 0


async def test_variables_are_filled_per_phone(healed: Chain) -> None:
    app = healed.apps[0]
    answer = await app.ok(
        "POST",
        "/sms:variable",
        {
            "requestId": new_id(),
            "type": "notification",
            "content": "Table {$var} is ready for {$var}",
            "signature": "brandmesh",
            "recipients": [
                {"phone": phone(4), "params": ["12", "Li"]},
                {"phone": phone(5), "params": ["7", "Wang"]},
            ],
        },
    )
    messages = [await app.until(one["messageId"], "delivered") for one in answer["messages"]]
    assert [message["sms"]["text"] for message in messages] == [
        "【brandmesh】Table 12 is ready for Li",
        "【brandmesh】Table 7 is ready for Wang",
    ]
    seen = await healed.sandbox("GET", "/admin/messages", phone=phone(4))
    assert "Table 12 is ready for Li" in str(seen)


async def test_a_scheduled_one_can_be_cancelled_and_costs_nothing(healed: Chain) -> None:
    app = healed.apps[1]
    before = await app.account()
    at = datetime.now(UTC) + timedelta(hours=1)
    sent = await app.send(new_id(), phone(6), scheduleTime=at.isoformat())
    message_id = sent["messages"][0]["messageId"]
    assert (await app.account())["frozen"] == before["frozen"] + 1
    assert steps(await app.get(message_id)) == ["scheduled"]
    cancelled = await app.ok("POST", f"/sms/{message_id}:cancel", {})
    assert cancelled["sms"]["status"] == "cancelled"
    await eventually(app.account, lambda account: account["available"] == before["available"], 10)
    again = await app.ok("POST", f"/sms/{message_id}:cancel", {})
    assert again["sms"]["status"] == "cancelled"


async def test_a_scheduled_one_goes_out_at_its_time(healed: Chain) -> None:
    app = healed.apps[0]
    at = datetime.now(UTC) + timedelta(seconds=2)
    sent = await app.send(new_id(), phone(7), scheduleTime=at.isoformat())
    message = await app.until(sent["messages"][0]["messageId"], "delivered")
    assert steps(message) == ["scheduled", "queued", "charged", "submitted", "delivered"]
    assert datetime.fromisoformat(message["timeline"][1]["time"]) >= at - timedelta(milliseconds=1)


FAULTS: list[tuple[str, dict[str, Any], str, int]] = [
    ("answer_code", {"code": "103", "count": 2}, "delivered", 1),
    ("answer_code", {"code": "105", "count": 1}, "failed", 0),
    ("http_error", {"accepted": True, "count": 1}, "delivered", 1),
    # Nothing was accepted, which cannot be known: it stays charged until the time for receipts is over.
    ("http_error", {"accepted": False, "count": 1}, "unknown", 1),
    ("reorder_receipt", {"count": 1}, "delivered", 1),
    ("lose_response", {"count": 1}, "delivered", 1),
    ("slow_answer", {"delay_seconds": 1.0, "count": 1}, "delivered", 1),
    ("integer_code", {"count": 1}, "delivered", 1),
    ("receipt_first", {"count": 1}, "delivered", 1),
    ("duplicate_receipt", {"count": 1}, "delivered", 1),
    ("fail_receipt", {"statuses": {"UNDELIV": 1}, "count": 1}, "failed", 0),
]
"""Fault of the provider, its fields, how the message ends, what it costs in the end."""


@pytest.mark.parametrize(
    ("kind", "fields", "ends", "costs"), FAULTS, ids=[f"{fault[0]}-{fault[2]}" for fault in FAULTS]
)
async def test_a_faulty_provider(healed: Chain, kind: str, fields: dict[str, Any], ends: str, costs: int) -> None:
    app = healed.apps[0]
    before = await app.account()
    await healed.fault(kind, **fields)
    sent = await app.send(new_id(), phone(8))
    message_id = sent["messages"][0]["messageId"]
    message = await app.until(message_id, ends, timeout_seconds=30)
    assert message["sms"]["status"] == ends
    await eventually(app.account, lambda account: account["spent"] - before["spent"] == costs, 10)
    assert (await healed.stats())["duplicates"] == 0


async def test_a_billed_length_other_than_ours_is_settled(healed: Chain) -> None:
    app = healed.apps[0]
    before = await app.account()
    await healed.fault("billed_length", difference=2, count=1)
    sent = await app.send(new_id(), phone(9))
    await app.until(sent["messages"][0]["messageId"], "delivered")
    await eventually(app.account, lambda account: account["spent"] - before["spent"] == 3, 10)


async def test_an_unsubscribe_blocks_marketing_and_not_codes(healed: Chain) -> None:
    app, number = healed.apps[1], phone(10)
    sent = await app.send(new_id(), number, type="marketing")
    await app.until(sent["messages"][0]["messageId"], "delivered")
    await healed.sandbox("POST", "/admin/uplink", {"mobile": number, "msg": "退订"})

    async def blocked() -> Json:
        return await app.ok("GET", "/smsBlocks")

    await eventually(blocked, lambda page: any(one["phone"] == f"+86{number}" for one in page["blockedPhones"]), 10)
    body = {"requestId": new_id(), "type": "marketing", "phones": [number], "content": "x", "signature": "brandmesh"}
    status, problem = await app.call("POST", "/sms", body)
    assert (status, problem["reason"]) == (409, "RECIPIENT_BLOCKED")
    code = await app.send(new_id(), number)
    await app.until(code["messages"][0]["messageId"], "delivered")


async def test_another_brands_key_and_messages_are_out_of_reach(healed: Chain) -> None:
    ours, theirs = healed.apps
    sent = await theirs.send(new_id(), phone(11))
    message_id = sent["messages"][0]["messageId"]
    status, _ = await ours.call("GET", f"/sms/{message_id}")
    assert status == 404
    headers = {"Authorization": f"Bearer {ours.api_key}"}
    url = f"{ours.gateway_url}/v1/brands/{theirs.brand_id}/sms/{message_id}"
    async with healed.session.get(url, headers=headers) as response:
        assert response.status == 403
        assert (await response.json(content_type=None))["reason"] == "BRAND_NOT_ALLOWED"


async def test_a_package_is_ordered_paid_and_granted(healed: Chain) -> None:
    app = healed.apps[1]
    before = await app.account()
    order = (await app.ok("POST", "/smsPackageOrders", {"requestId": new_id(), "packageId": "sms-1000"}))["order"]
    assert (order["status"], order["amountFen"]) == ("created", 5000)
    payment = (await app.ok("POST", f"/smsPackageOrders/{order['orderId']}:pay", {}))["payment"]
    async with healed.session.post(f"{payment['payUrl']}:pay") as response:
        assert response.status == 200

    async def read() -> Json:
        return dict((await app.ok("GET", f"/smsPackageOrders/{order['orderId']}"))["order"])

    fulfilled = await eventually(read, lambda one: one["status"] == "fulfilled", 15)
    assert fulfilled["payment"]["status"] == "paid"
    assert (await app.account())["granted"] == before["granted"] + 1000
