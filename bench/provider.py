"""What the provider's stand-in saw of a run, in its own time: the wall clock of the same machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from bench.local import Measured

_LOOK_SECONDS = 0.05
_READS_AT_ONCE = 8


async def accepted_messages(measured: Measured) -> int:
    """Answer how many messages the provider has taken since its start."""
    stats = await measured.sandbox("GET", "/admin/stats")
    return int(stats["chuanglan"]["accepted_messages"])


async def until_accepted(measured: Measured, total: int, seconds_max: float) -> float:
    """Wait until the provider has taken so many since its start; answer when it took the newest, in Unix seconds."""
    async with asyncio.timeout(seconds_max):
        while await accepted_messages(measured) < total:  # noqa: ASYNC110  # it changes in another process
            await asyncio.sleep(_LOOK_SECONDS)
    page = await measured.sandbox("GET", "/admin/messages", limit="1")
    return float(page["messages"][0]["accepted_at_ms"]) / 1000


async def arrivals(measured: Measured, phones: Iterable[str], seconds_max: float) -> dict[str, float]:
    """Wait until each phone's one message is with the provider; answer when it came, in Unix seconds."""
    arrived_at: dict[str, float] = {}
    turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def look_for(phone: str) -> None:
        while phone not in arrived_at:
            async with turns:
                page = await measured.sandbox("GET", "/admin/messages", phone=phone, limit="1")
            if page["messages"]:
                arrived_at[phone] = page["messages"][0]["accepted_at_ms"] / 1000
            else:
                await asyncio.sleep(_LOOK_SECONDS)

    async with asyncio.timeout(seconds_max), asyncio.TaskGroup() as group:
        for phone in phones:
            group.create_task(look_for(phone))
    return arrived_at
