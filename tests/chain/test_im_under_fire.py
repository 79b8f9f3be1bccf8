"""Processes of the IM chain killed with SIGKILL while shops keep calling: each message is heard once."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.chain.conftest import FAST
from tests.chain.harness import ROCKETMQ_URL, Chain, eventually, running_chain
from tests.chain.im import Shop, open_shop, screen

# The consumer first and last: it is the one that may have sent what it could not note.
PROCESSES = ("messagecenter_rmq", "txim", "messagecenter", "redis", "gateway", "messagecenter_rmq")
CALLS_PER_SECOND = 20

HEARD_SECONDS_MAX = 240 if ROCKETMQ_URL else 60
"""What a killed consumer held comes back after 30 s. On RocketMQ its hint may be lost with Redis, which is found out by
a look every 30 s, and the sweep then publishes what it takes for lost 30 s later still. 150 s were once not enough for
one call on a busy machine, and why is not known."""


@pytest_asyncio.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    async with running_chain(tmp_path, FAST, own_redis=True) as running:
        yield running


@dataclass(slots=True)
class Caller:
    """A shop that calls on and on, and repeats what it got no answer for with the same request id."""

    shop: Shop
    acknowledged: dict[str, str] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                group.create_task(self._call(uuid.uuid4().hex))
                await asyncio.sleep(1 / CALLS_PER_SECOND)

    async def _call(self, name: str) -> None:
        body = self.shop.body("kitchen", params={"roomName": name, "goodsName": "", "num": ""})
        for _ in range(120):
            try:
                status, answer = await self.shop.app.call("POST", "/imCalls", body)
            except (aiohttp.ClientError, TimeoutError):
                status, answer = 0, {}
            if status == 200:
                self.acknowledged[answer["callId"]] = name
                return
            assert status in {0, 429, 500, 503, 504}, answer
            await asyncio.sleep(0.25)
        raise AssertionError(f"{name} was not answered in 120 tries")


@pytest.mark.timeout(110 + HEARD_SECONDS_MAX)
async def test_each_message_is_heard_once_whoever_is_killed(chain: Chain) -> None:
    shop = await open_shop(chain)
    kitchens = [await shop.device(f"kitchen-{number}", "kitchen") for number in range(2)]
    await shop.configure("kitchen", repeatCount=2, intervalSeconds=1)
    caller, stop = Caller(shop), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.run(stop))
        for name in PROCESSES:
            await asyncio.sleep(1.5)
            await chain.kill_and_restart(name)
        await asyncio.sleep(1.5)
        stop.set()
    assert len(caller.acknowledged) > 100

    wanted = Counter({(account, name): 2 for name in caller.acknowledged.values() for account in kitchens})

    async def heard() -> Counter[tuple[str, str]]:
        return Counter((message["account"], message["text"].partition("房间")[0]) for message in await screen(chain))

    async def missing() -> Counter[tuple[str, str]]:
        return wanted - await heard()

    try:
        await eventually(missing, lambda now: not now, timeout_seconds=HEARD_SECONDS_MAX)
    except AssertionError as error:
        # Where a call is that nobody heard cannot be told later: its processes and their databases end with the test.
        unheard = {name for _, name in await missing()}
        for call_id in (one for one, name in caller.acknowledged.items() if name in unheard):
            error.add_note(f"call {call_id}: {await shop.records(call_id)}")
        raise
    for call_id in caller.acknowledged:
        assert {record["status"] for record in await shop.ended(call_id, 30)} == {"sent"}
    assert not await heard() - wanted, "a message was heard twice"
