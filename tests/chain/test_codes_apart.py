"""Codes with a consumer of their own: neither a backlog of marketing nor its frozen consumer delays them."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from meshctl.app import Json
from tests.chain.conftest import FAST
from tests.chain.harness import App, Chain, eventually, phone, running_chain

CODES, OTHERS = "sms_rmq_codes", "sms_rmq"
CAMPAIGN = 20_000
SUBMITTED = ("submitted", "delivered")
PROMPT_SECONDS = 10
"""Far below what the backlog takes, and above what a busy machine needs."""


@pytest_asyncio.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    others = {**FAST[OTHERS], "BRANDMESH_TYPES": "marketing,notification"}
    async with running_chain(tmp_path, {**FAST, OTHERS: others}, own_redis=True) as running:
        flags = ("--types", "verification", "--no-receipts")
        await running.mesh.supervisor.start([running.mesh.spec(OTHERS, process_name=CODES, arguments=flags)])
        yield running


async def test_codes_go_out_beside_a_blocked_and_beside_a_frozen_consumer_of_marketing(chain: Chain) -> None:
    bulk, hurried = chain.apps
    await chain.fault("slow_answer", delay_seconds=4, account="M1000001")
    recipients = [phone(number) for number in range(CAMPAIGN)]
    campaign = await bulk.send(uuid.uuid4().hex, *recipients, type="marketing", content="Winter sale")
    await _send_code(hurried)

    others = chain.mesh.supervisor.pid(OTHERS)
    os.kill(others, signal.SIGSTOP)
    try:
        for app in chain.apps:
            await _send_code(app)
        waiting = await _waiting(bulk, campaign)
        assert waiting, "the campaign was through before the codes, so nothing was shown"
        await _send_code(hurried)
        assert await _waiting(bulk, campaign) == waiting, "the consumer was not frozen"
    finally:
        os.kill(others, signal.SIGCONT)

    await chain.heal()
    await eventually(lambda: _waiting(bulk, campaign), lambda number: number == 0, 60)
    assert (await chain.stats())["duplicates"] == 0


async def _send_code(app: App) -> None:
    """Send a code, and wait until the provider has it; its receipt is for the others to read."""
    sent = await app.send(uuid.uuid4().hex, phone(1))
    await app.until(sent["messages"][0]["messageId"], *SUBMITTED, timeout_seconds=PROMPT_SECONDS)


async def _waiting(app: App, campaign: Json) -> int:
    """Count the messages of a campaign that nobody has begun to send."""
    return len(await app.list_all(taskId=campaign["taskId"], status="queued"))
