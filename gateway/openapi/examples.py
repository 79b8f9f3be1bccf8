"""Example values for the fields of requests, by JSON name. A test sends each example through the contract's rules."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.openapi.rules import JsonValue

EXAMPLES: dict[str, JsonValue] = {
    "brandId": 1001,
    "content": "Your table for four is ready.",
    "messageId": "274877906944",
    "orderId": "274877906944",
    "packageId": "sms-10000",
    "phone": "13800138000",
    "phones": ["13800138000"],
    "quantity": 1,
    "reason": "asked by phone",
    "recipients": [{"phone": "13800138000", "params": ["Li", "4"]}],
    "requestId": "table-ready-4711",
    "signature": "Cloud Baths",
    "taskId": "274877906944",
    "type": "notification",
}

CONTENT_WITH_PLACES = "Dear {$var}, your table for {$var} is ready."


def example_of(names: Iterable[str]) -> dict[str, JsonValue]:
    """An example of an object with these members; those without an example are left out."""
    example = {name: EXAMPLES[name] for name in names if name in EXAMPLES}
    if "recipients" in example:
        example["content"] = CONTENT_WITH_PLACES
    return example
