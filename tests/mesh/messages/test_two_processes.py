"""Consumers of one service in processes of their own, on one database."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mesh.messages.domain import ConsumedStatus
from mesh.messages.inbox import Consumed
from tests.mesh.messages.harness import Post, received

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def consumer(post: Post, what: str, count: int) -> AsyncIterator[asyncio.subprocess.Process]:
    url = post.database.url.render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(consumer_process_path()), url, what, str(count),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/protos"},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def consumer_process_path() -> Path:
    return Path(__file__).with_name("consumer_process.py")


async def test_002_09_one_effect_though_two_processes_apply_every_message(post: Post) -> None:
    async with consumer(post, "apply", 100) as first, consumer(post, "apply", 100) as second:
        assert [await first.wait(), await second.wait()] == [0, 0]
    assert await post.counted() == {str(msg_id): 1 for msg_id in range(1, 101)}


async def test_002_09_a_process_that_is_killed_in_the_midst_leaves_the_message_to_others(post: Post) -> None:
    async with consumer(post, "hang", 3) as process:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"holding\n"
        process.kill()
        await process.wait()
        messages = [received(msg_id) for msg_id in (1, 2, 3)]
        async with asyncio.timeout(30):
            # A server notices that its client is gone a moment later.
            while (await post.inbox.consume(messages)) != [Consumed(ConsumedStatus.SUCCEEDED)] * 3:
                pass
    assert await post.counted() == {"1": 1, "2": 1, "3": 1}
