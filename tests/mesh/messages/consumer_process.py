"""A consumer on the database of others: applies messages 1 to `count` again and again, or hangs in the midst of one."""

from __future__ import annotations

import asyncio
import random
import sys

from mesh.database import Database
from mesh.messages import Inbox
from mesh.messages.domain import ConsumedStatus
from tests.mesh.messages.harness import Store, consumed, received


async def hang() -> None:
    sys.stdout.write("holding\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def main(url: str, what: str, count: str) -> None:
    database = Database(url)
    store = Store()
    store.before_commit = hang if what == "hang" else None
    inbox = Inbox(database, "store", consumed, {("order", "cancelled"): store.count})
    messages = [received(msg_id) for msg_id in range(1, int(count) + 1)]
    random.shuffle(messages)
    done = 0
    while done < len(messages):
        batch = messages[done : done + 7]
        results = await inbox.consume(batch)
        if all(one.status is ConsumedStatus.SUCCEEDED for one in results):
            done += len(batch)
    await database.close()


asyncio.run(main(*sys.argv[1:]))
