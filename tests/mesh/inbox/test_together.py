from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.errors import DomainError
from mesh.inbox import Inbox, InboxDepth, JointPushes
from mesh.redis_connection import connect_redis
from tests.redis_server import start_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def scripts_run(redis: Redis) -> int:
    statistics = await redis.info("commandstats")
    return sum(int(statistics.get(f"cmdstat_{command}", {}).get("calls", 0)) for command in ("eval", "evalsha"))


async def test_pushes_of_one_moment_travel_together(redis: Redis) -> None:
    inbox = Inbox(redis, "receipts", shards=4)
    pushes = JointPushes(inbox)
    await pushes.push(b"first")
    count = await scripts_run(redis)
    await asyncio.gather(*(pushes.push(str(number).encode()) for number in range(200)))
    assert await scripts_run(redis) - count <= 2
    kept = [await inbox.claim(shard, 1000, 30) for shard in range(4)]
    bodies = {item.body for claim in kept if claim is not None for item in claim.items}
    assert bodies == {b"first", *(str(number).encode() for number in range(200))}


async def test_a_push_is_answered_once_it_is_kept(redis: Redis) -> None:
    inbox = Inbox(redis, "receipts", shards=4)
    pushes = JointPushes(inbox)
    for number in range(1, 20):
        await pushes.push(b"x")
        assert await inbox.depth() == InboxDepth(waiting=number, later=0)


async def test_each_caller_hears_that_the_list_is_full(redis: Redis) -> None:
    inbox = Inbox(redis, "small", shards=1, length_max=2)
    pushes = JointPushes(inbox)
    refusals = await asyncio.gather(*(pushes.push(b"x") for _ in range(3)), return_exceptions=True)
    assert [refusal.reason for refusal in refusals if isinstance(refusal, DomainError)] == ["OVERLOADED"] * 3
    assert await inbox.depth() == InboxDepth(waiting=0, later=0)
    await pushes.push(b"x")


async def test_each_caller_hears_that_redis_is_away(tmp_path: Path) -> None:
    server = await start_redis(tmp_path)
    client = connect_redis(server.url, "tests")
    await server.stop()
    pushes = JointPushes(Inbox(client, "receipts", shards=4))
    refusals = await asyncio.gather(*(pushes.push(b"x") for _ in range(3)), return_exceptions=True)
    assert [refusal.reason for refusal in refusals if isinstance(refusal, DomainError)] == ["INBOX_UNAVAILABLE"] * 3
    await client.aclose()


async def test_closing_finishes_what_was_taken(redis: Redis) -> None:
    inbox = Inbox(redis, "receipts", shards=4)
    pushes = JointPushes(inbox)
    pushing = [asyncio.create_task(pushes.push(b"x")) for _ in range(3)]
    await asyncio.sleep(0)
    await pushes.close()
    await asyncio.gather(*pushing)
    assert await inbox.depth() == InboxDepth(waiting=3, later=0)
    with pytest.raises(DomainError, match="OVERLOADED"):
        await pushes.push(b"late")
