"""Scripts that many callers run at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004  # redis-py names it so

from mesh import redis_script
from mesh.redis_connection import connect_redis
from mesh.redis_script import JointScripts, LuaScript

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

from tests.redis_server import start_redis

APPEND = LuaScript("redis.call('RPUSH', KEYS[1], ARGV[1]) return ARGV[1]")
FAIL = LuaScript("return redis.error_reply('ERR no use')")
FORGET = LuaScript("return 1")


@pytest_asyncio.fixture
async def joint(redis: Redis) -> AsyncIterator[JointScripts]:
    joint = JointScripts(redis, "tests")
    yield joint
    await joint.close()


async def test_each_caller_gets_its_own_reply(joint: JointScripts, redis: Redis) -> None:
    replies = await asyncio.gather(*(joint.run(APPEND, ["list"], [number]) for number in range(1000)))
    assert replies == [str(number).encode() for number in range(1000)]
    assert await redis.llen("list") == 1000


async def test_what_is_called_together_goes_together(joint: JointScripts, redis: Redis) -> None:
    await joint.run(APPEND, ["list"], ["first"])
    await redis.config_resetstat()
    await asyncio.gather(*(joint.run(APPEND, ["list"], [number]) for number in range(500)))
    # Valkey and Redis from 8.0 on: how often clients had something to read.
    reads = (await redis.info("stats"))["total_reads_processed"]
    assert reads < 50


async def test_one_that_fails_fails_alone(joint: JointScripts) -> None:
    calls = [joint.run(APPEND, ["list"], ["a"]), joint.run(FAIL, ["list"], []), joint.run(APPEND, ["list"], ["b"])]
    first, failed, last = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, last) == (b"a", b"b")
    assert isinstance(failed, ResponseError)
    assert "no use" in str(failed)


async def test_a_server_that_forgot_them_is_told_again(joint: JointScripts, redis: Redis) -> None:
    await joint.run(APPEND, ["list"], ["before"])
    await redis.script_flush("SYNC")
    calls = [joint.run(script, ["list"], ["after"]) for script in (APPEND, FORGET, APPEND)]
    assert await asyncio.gather(*calls) == [b"after", 1, b"after"]
    assert await redis.lrange("list", 0, -1) == [b"before", b"after", b"after"]


async def test_a_caller_that_leaves_takes_nothing_from_the_others(joint: JointScripts, redis: Redis) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(joint.run(APPEND, ["list"], [number])) for number in range(100)]
        await asyncio.sleep(0)
        tasks[0].cancel()
    assert {task.result() for task in tasks[1:]} == {str(number).encode() for number in range(1, 100)}
    assert await redis.llen("list") == 100


async def test_more_than_may_wait_is_refused(monkeypatch: pytest.MonkeyPatch, redis: Redis) -> None:
    monkeypatch.setattr(redis_script, "_PENDING_MAX", 10)
    small = JointScripts(redis, "small")
    replies = await asyncio.gather(
        *(small.run(APPEND, ["list"], [number]) for number in range(300)), return_exceptions=True
    )
    await small.close()
    refused = [reply for reply in replies if isinstance(reply, ConnectionError)]
    assert await redis.llen("list") == 300 - len(refused) > 0
    assert refused


async def test_goes_on_after_a_restart(tmp_path: Path) -> None:
    server = await start_redis(tmp_path)
    redis = connect_redis(server.url, "tests")
    joint = JointScripts(redis, "tests")
    await joint.run(APPEND, ["list"], ["before"])
    await server.kill()
    failures = await asyncio.gather(*(joint.run(APPEND, ["list"], ["x"]) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(failure, ConnectionError) for failure in failures)
    server = await start_redis(tmp_path, server.url)
    assert await joint.run(APPEND, ["list"], ["after"]) == b"after"
    await joint.close()
    await redis.aclose()
    await server.kill()
