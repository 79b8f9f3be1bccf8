"""Example values for the fields of requests, by JSON name, or by operation and name.

A test sends each example through the contract's rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.openapi.rules import JsonValue

EXAMPLES: dict[str, JsonValue] = {
    "Channels": ["kitchen", "call_screen"],
    "MsgType": "broadcast",
    "address": "1 Harbour Road, room 801",
    "amount": "100.00",
    "attemptId": "274877906944",
    "brandId": 1001,
    "callId": "274877906944",
    "callParams": {"roomName": "801", "goodsName": "dumplings", "num": "2"},
    "change": 20,
    "channel": "technician",
    "config": {
        "event": "catering_ordered",
        "channel": "kitchen",
        "enabled": True,
        "templateId": 274877906944,
        "repeatCount": 3,
        "intervalSeconds": 60,
        "quietHours": {"start": "23:00", "end": "07:00"},
    },
    "consignee": "Li Wei",
    "content": "Your table for four is ready.",
    "couponId": "274877906944",
    "couponPrice": "5.00",
    "createRecharge.channel": "sandbox",
    "deviceId": "pad-17",
    "endTime": "2030-01-01T13:00:00Z",
    "event": "catering_ordered",
    "expireTime": "2030-12-31T15:59:59Z",
    "flashSaleId": "274877906944",
    "fromCart": True,
    "goodsDesc": "Pork and cabbage, a dozen.",
    "goodsId": "274877906944",
    "goodsName": "dumplings",
    "goodsNumber": 2,
    "goodsPrice": "12.50",
    "lines": [{"goodsId": "274877906944", "goodsNumber": 2, "goodsPrice": "12.50"}],
    "location": "801",
    "messageId": "274877906944",
    "moneyPaid": "10.00",
    "name": "A table is ready",
    "newPassword": "battery-Staple-9",
    "notifyEmail": "shop@example.com",
    "oldPassword": "correct-Horse-7",
    "onSale": True,
    "orderAmount": "35.00",
    "orderId": "274877906944",
    "packageId": "sms-10000",
    "password": "correct-Horse-7",
    "payOrder.channel": "sandbox",
    "perUserLimit": 1,
    "phone": "13800138000",
    "phones": ["13800138000"],
    "price": "9.90",
    "quantity": 1,
    "reason": "asked by phone",
    "rechargeId": "274877906944",
    "recipients": [{"phone": "13800138000", "params": ["Li", "4"]}],
    "refreshToken": "bmr_274877906944.bTb7vXn0zYp5mC1sQe4uWk8h...",
    "refundAmount": "12.50",
    "requestId": "table-ready-4711",
    "shippingFee": "10.00",
    "shopId": 7,
    "signature": "Cloud Baths",
    "startTime": "2030-01-01T12:00:00Z",
    "taskId": "274877906944",
    "technicianId": "17",
    "templateId": 274877906944,
    "type": "notification",
    "userId": "274877906944",
    "userMobile": "13800138000",
    "userName": "li.wei",
}

CONTENT_WITH_PLACES = "Dear {$var}, your table for {$var} is ready."


def example_of(names: Iterable[str], operation_id: str) -> dict[str, JsonValue]:
    """An example of an operation's body with these members; those without an example are left out."""
    keys = {name: key for name in names for key in (name, f"{operation_id}.{name}") if key in EXAMPLES}
    example = {name: EXAMPLES[key] for name, key in keys.items()}
    if "recipients" in example:
        example["content"] = CONTENT_WITH_PLACES
    return example
