"""Waiting until messages are settled, as their brand's app sees it: seldom and cheaply, for looking costs too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from meshctl.app import App

_OPEN = ("submitted", "queued", "charged", "accepted", "unknown")
_SETTLE_SECONDS_MAX = 900.0
_LOOK_SECONDS = 0.1
_PAGE = 1000


class NotDeliveredError(Exception):
    """A run that lost or refused messages is no measurement."""


async def until_settled(app: App, last_message_id: str, **among: str) -> float:
    """Wait until every message of a brand, or those `among` a task's, is settled; answer when, in Unix seconds.

    The last one is looked at until it is settled, and only then the others: a list costs more than a message. Raises
    TimeoutError.
    """

    async def is_last_open() -> bool:
        return (await app.ok("GET", f"/sms/{last_message_id}"))["sms"]["status"] in _OPEN

    async with asyncio.timeout(_SETTLE_SECONDS_MAX):
        await _while(is_last_open)
        await _while(lambda: _has_any(app, _OPEN, among))
    return time.time()


async def until_campaign_settled(app: App, task_id: str) -> float:
    """Wait until every message of one request is settled; answer when, in Unix seconds."""
    newest = (await app.ok("GET", "/sms", taskId=task_id, pageSize="1"))["messages"][0]["messageId"]
    return await until_settled(app, newest, taskId=task_id)


async def check_delivered(app: App, messages: int, **among: str) -> None:
    """Count the delivered messages of a brand, or those `among` a task's. Raises NotDeliveredError unless all are.

    Reading them all takes processor time too: whoever measures what sending them took has read the clocks before.
    """
    delivered = await _count(app, "delivered", among)
    if delivered != messages:
        raise NotDeliveredError(f"{delivered} of {messages} messages of brand {app.brand_id} are delivered")


async def _while(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, at a pace that costs the measured processes next to nothing."""
    while await is_so():  # noqa: ASYNC110  # what is awaited changes in another process
        await asyncio.sleep(_LOOK_SECONDS)


async def _has_any(app: App, statuses: Sequence[str], among: Mapping[str, str]) -> bool:
    """Whether any message has one of the statuses. A page may be empty although another one follows."""
    for status in statuses:
        token = ""
        while True:
            page = await app.ok("GET", "/sms", None, status=status, pageSize="1", pageToken=token, **among)
            if page["messages"]:
                return True
            token = page["nextPageToken"]
            if not token:
                break
    return False


async def _count(app: App, status: str, among: Mapping[str, str]) -> int:
    count, token = 0, ""
    while True:
        page = await app.ok("GET", "/sms", None, status=status, pageSize=str(_PAGE), pageToken=token, **among)
        count, token = count + len(page["messages"]), page["nextPageToken"]
        if not token:
            return count
