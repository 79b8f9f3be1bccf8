"""A consumer to be killed: takes what is in an inbox, says so, and never finishes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from mesh.inbox import Inbox, InboxConsumer, InboxItem, InboxOptions, InboxOutcome
from mesh.redis_connection import connect_redis


async def hold(items: Sequence[InboxItem]) -> Sequence[InboxOutcome]:
    sys.stdout.write(f"{len(items)}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
    return []


async def main(url: str, name: str) -> None:
    inbox = Inbox(connect_redis(url, "victim"), name, shards=1)
    await InboxConsumer(inbox, hold, InboxOptions(lease_seconds=1)).run(asyncio.Event(), 1)


asyncio.run(main(*sys.argv[1:]))
