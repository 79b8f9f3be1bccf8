"""Messages that hold ids, `{"ids": [1, 2, 3]}`: what a service publishes about its rows, and its consumer reads."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mesh import telemetry
from mesh.bus.port import Bus, Message

IDS_PER_MESSAGE = 100
"""Bounds what one failing id makes to be done again, and what a consumer takes at once."""


async def publish_ids(
    bus: Bus, queue: str, ids: Sequence[int], ids_per_message: int = IDS_PER_MESSAGE, delay_seconds: float = 0
) -> None:
    """Publish ids in as few messages as the bound allows, with the present trace. Raises BusUnavailableError."""
    headers = telemetry.inject_headers()
    messages = [
        Message(json.dumps({"ids": list(ids[start : start + ids_per_message])}).encode(), headers)
        for start in range(0, len(ids), ids_per_message)
    ]
    if messages:
        await bus.publish(queue, messages, delay_seconds)


def read_ids(body: bytes) -> list[int]:
    """Read what `publish_ids` wrote. Raises ValueError for anything else."""
    parsed = json.loads(body)
    ids = parsed.get("ids") if isinstance(parsed, dict) else None
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        raise ValueError('the body is not {"ids": [...]} with whole numbers')
    return ids
