"""Many messages at once: a backlog beside a code, a hundred thousand in one request, several consumers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from meshctl.app import Json
from tests.chain.conftest import FAST
from tests.chain.harness import Chain, eventually, phone, running_chain

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEGABYTE = 1 << 20

WITH_PROVIDER = ("submitted", "delivered")
"""What a message is once it went out; its receipt may wait behind those of the backlog."""


def new_id() -> str:
    return uuid.uuid4().hex


async def test_consumers_split_the_brands_between_them(tmp_path: Path) -> None:
    own = {"sms_rmq": {"BRANDMESH_EXCEPT_BRANDS": "1001"}}
    async with running_chain(tmp_path, {**FAST, "sms_rmq": {**FAST["sms_rmq"], **own["sms_rmq"]}}) as chain:
        ours, theirs = chain.apps
        left_out = await ours.send(new_id(), phone(3))
        taken = await theirs.send(new_id(), phone(4))
        await theirs.until(taken["messages"][0]["messageId"], "delivered")
        assert (await ours.get(left_out["messages"][0]["messageId"]))["sms"]["status"] == "queued"
        flags = ("--brands", "1001", "--except-brands", "", "--types", "verification", "--modes", "single")
        spec = chain.mesh.spec("sms_rmq", process_name="sms_rmq_1001", arguments=(*flags, "--concurrency", "2"))
        await chain.mesh.supervisor.start([spec])
        await ours.until(left_out["messages"][0]["messageId"], "delivered")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slow_chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chain]:
    """A mesh whose provider has two connections for marketing, so that a backlog stays one."""
    async with running_chain(tmp_path_factory.mktemp("mesh"), FAST) as running:
        yield running


async def test_a_code_goes_out_beside_a_backlog_of_20_000(slow_chain: Chain) -> None:
    bulk, hurried = slow_chain.apps
    await slow_chain.fault("slow_answer", delay_seconds=1.5, account="M1000001")
    campaign = await bulk.send(new_id(), *map(phone, range(20_000)), type="marketing", content="Winter sale")
    assert campaign["acceptedCount"] == 20_000
    code = await hurried.send(new_id(), phone(1))
    await hurried.until(code["messages"][0]["messageId"], *WITH_PROVIDER, timeout_seconds=10)
    waiting = await bulk.ok("GET", "/sms", taskId=campaign["taskId"], status="queued", pageSize="1000")
    assert waiting["messages"], "the backlog was gone before the code went out, so nothing was shown"
    await slow_chain.heal()

    async def rest() -> Json:
        return await bulk.ok("GET", "/sms", taskId=campaign["taskId"], status="queued", pageSize="1")

    await eventually(rest, lambda page: not page["messages"] and not page["nextPageToken"], 60)
    assert (await slow_chain.stats())["duplicates"] == 0


async def test_a_blocked_queue_of_singles_does_not_delay_another_brand(slow_chain: Chain) -> None:
    bulk, hurried = slow_chain.apps
    await slow_chain.fault("hang", account="M1000001")
    await asyncio.gather(*(bulk.send(new_id(), phone(n), type="marketing") for n in range(200)))
    code = await hurried.send(new_id(), phone(2))
    await hurried.until(code["messages"][0]["messageId"], *WITH_PROVIDER, timeout_seconds=10)
    await slow_chain.heal()


async def test_100_000_recipients_are_one_freeze_and_chunks_of_1000_in_bounded_memory(slow_chain: Chain) -> None:
    app = slow_chain.apps[1]
    before, calls_before = await app.account(), await slow_chain.stats()
    entries_before = before["seq"]
    count = 100_000
    campaign = await app.send(new_id(), *map(phone, range(count)), type="notification", content="We moved")
    assert (campaign["acceptedCount"], campaign["frozen"], len(campaign["messages"])) == (count, count, 1000)
    after = await app.account()
    entries = await app.ok("GET", "/smsAccount/entries", pageSize="1000", pageToken="")
    assert after["seq"] > entries_before
    freezes = [one for one in entries["entries"] if one["kind"] == "freeze" and one["frozenDelta"] == count]
    assert len(freezes) == 1

    async def spent() -> int:
        return int((await app.account())["spent"]) - int(before["spent"])

    await eventually(spent, lambda number: number >= count, 60)
    seen = calls_before["accepted_messages"]
    stats = await eventually(slow_chain.stats, lambda one: one["accepted_messages"] - seen >= count, 60)
    assert stats["phones_per_call_max"] <= 1000
    assert stats["duplicates"] == 0
    for name in ("gateway", "sms", "sms_rmq", "costcenter"):
        resident = psutil.Process(slow_chain.mesh.supervisor.pid(name)).memory_info().rss
        assert resident < 400 * MEGABYTE, f"{name} holds {resident // MEGABYTE} MB"
