"""Processes killed with SIGKILL one after the other while an app keeps sending; then the books are audited."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from costcenter_rpc.audit import audit
from mesh.database import Database
from meshctl.app import Json
from tests.chain.conftest import FAST
from tests.chain.harness import App, Chain, eventually, phone, running_chain

PROCESSES = ("sms_rmq", "costcenter_rmq", "order_rmq", "sms", "costcenter", "order", "gateway", "redis")
SETTLED = frozenset({"delivered", "failed", "unconfirmed"})


@pytest_asyncio.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    async with running_chain(tmp_path, FAST, own_redis=True) as running:
        yield running


@dataclass(slots=True)
class Sender:
    """An app that sends on and on, and repeats what it got no answer for with the same request id."""

    app: App
    offset: int
    acknowledged: dict[str, str] = field(default_factory=dict)
    unanswered: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        number = self.offset
        while not stop.is_set():
            number += 1
            await self._send(uuid.uuid4().hex, phone(number))

    async def _send(self, request_id: str, number: str) -> None:
        body = {
            "requestId": request_id,
            "type": "verification",
            "phones": [number],
            "content": f"Your code is {number}",
            "signature": "brandmesh",
        }
        for _ in range(120):
            try:
                status, answer = await self.app.call("POST", "/sms", body)
            except (aiohttp.ClientError, TimeoutError):
                status, answer = 0, {}
            if status == 200:
                self.acknowledged[answer["messages"][0]["messageId"]] = number
                return
            assert status in {0, 429, 500, 503, 504}, answer
            self.unanswered += 1
            await asyncio.sleep(0.25)
        raise AssertionError(f"{request_id} was not answered in 120 tries")


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_charged_twice_when_each_process_is_killed_in_turn(chain: Chain) -> None:
    before = [await app.account() for app in chain.apps]
    stop = asyncio.Event()
    senders = [Sender(chain.apps[index % 2], index * 1_000_000) for index in range(4)]
    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender.run(stop))
        for name in PROCESSES:
            await asyncio.sleep(1.5)
            await chain.kill_and_restart(name)
        await asyncio.sleep(1.5)
        stop.set()
    assert sum(len(sender.acknowledged) for sender in senders) > 200

    for index, app in enumerate(chain.apps):
        acknowledged = {m: p for s in senders if s.app is app for m, p in s.acknowledged.items()}
        messages = await eventually(app.list_all, _all_settled, timeout_seconds=120)
        by_id = {message["messageId"]: message for message in messages}
        assert set(acknowledged) <= set(by_id), "an acknowledged message is lost"
        phones = [message["phone"] for message in messages]
        assert len(set(phones)) == len(phones), "a repeated request made a second message"
        await _check_account(app, before[index], messages)
    assert (await chain.stats())["duplicates"] == 0, "a message was sent twice"
    database = Database(chain.mesh.database_url("costcenter"))
    assert await audit(database) == []
    await database.close()


def _all_settled(messages: list[Json]) -> bool:
    """Whether each message is settled, or waits for a receipt because nobody can know whether the provider has it."""
    return all(message["status"] in SETTLED | {"unknown"} for message in messages)


async def _check_account(app: App, before: Json, messages: list[Json]) -> None:
    """The account shows what is charged for messages that did not fail, and nothing is held any more."""
    charged = sum(message["segments"] for message in messages if message["status"] != "failed" and message["paymentId"])

    def is_exact(account: Json) -> bool:
        return bool(account["spent"] - before["spent"] == charged and account["frozen"] == 0)

    await eventually(app.account, is_exact, timeout_seconds=60)
