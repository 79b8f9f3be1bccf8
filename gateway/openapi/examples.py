"""Example values for the fields of requests, by JSON name. A test sends each example through the contract's rules."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.openapi.rules import JsonValue

EXAMPLES: dict[str, JsonValue] = {
    "Channels": ["kitchen", "call_screen"],
    "MsgType": "broadcast",
    "brandId": 1001,
    "callId": "274877906944",
    "callParams": {"roomName": "801", "goodsName": "dumplings", "num": "2"},
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
    "content": "Your table for four is ready.",
    "deviceId": "pad-17",
    "event": "catering_ordered",
    "location": "801",
    "messageId": "274877906944",
    "name": "A table is ready",
    "orderId": "274877906944",
    "packageId": "sms-10000",
    "phone": "13800138000",
    "phones": ["13800138000"],
    "quantity": 1,
    "reason": "asked by phone",
    "recipients": [{"phone": "13800138000", "params": ["Li", "4"]}],
    "requestId": "table-ready-4711",
    "shopId": 7,
    "signature": "Cloud Baths",
    "taskId": "274877906944",
    "technicianId": "17",
    "templateId": 274877906944,
    "type": "notification",
}

CONTENT_WITH_PLACES = "Dear {$var}, your table for {$var} is ready."


def example_of(names: Iterable[str]) -> dict[str, JsonValue]:
    """An example of an object with these members; those without an example are left out."""
    example = {name: EXAMPLES[name] for name in names if name in EXAMPLES}
    if "recipients" in example:
        example["content"] = CONTENT_WITH_PLACES
    return example
