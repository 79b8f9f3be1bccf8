"""Many messages at once: a backlog beside a code, a hundred thousand in one request, several consumers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from meshctl.app import Json
from tests.chain.conftest import FAST
from tests.chain.harness import Chain, eventually, new_id, phone, running_chain

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEGABYTE = 1 << 20

WITH_PROVIDER = ("submitted", "delivered")
"""What a message is once it went out; its receipt may wait behind those of the backlog."""

OTHERS, THE_FIRST = "sms_rmq_others", "sms_rmq_1001"
"""Consumers of SMS of all brands but the first, and of the first."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chain]:
    """A mesh for these tests, which leave it with a hundred thousand receipts to read."""
    async with running_chain(tmp_path_factory.mktemp("mesh"), FAST, own_redis=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def but_one(healed: Chain) -> AsyncIterator[Chain]:
    """The mesh, while its consumer of SMS leaves the first brand to another."""
    supervisor = healed.mesh.supervisor
    await supervisor.stop(["sms_rmq"])
    await supervisor.start([healed.mesh.spec("sms_rmq", process_name=OTHERS, arguments=("--except-brands", "1001"))])
    yield healed
    await supervisor.stop([OTHERS, THE_FIRST])
    await healed.mesh.restart("sms_rmq")


async def test_consumers_split_the_brands_between_them(but_one: Chain) -> None:
    ours, theirs = but_one.apps
    left_out = await ours.send(new_id(), phone(3))
    taken = await theirs.send(new_id(), phone(4))
    await theirs.until(taken["messages"][0]["messageId"], "delivered")
    assert (await ours.get(left_out["messages"][0]["messageId"]))["sms"]["status"] == "queued"
    flags = ("--brands", "1001", "--types", "verification", "--modes", "single", "--concurrency", "2")
    await but_one.mesh.supervisor.start([but_one.mesh.spec("sms_rmq", process_name=THE_FIRST, arguments=flags)])
    await ours.until(left_out["messages"][0]["messageId"], "delivered")


async def test_a_code_goes_out_beside_a_backlog_of_20_000(healed: Chain) -> None:
    bulk, hurried = healed.apps
    await healed.fault("slow_answer", delay_seconds=1.5, account="M1000001")
    campaign = await bulk.send(new_id(), *map(phone, range(20_000)), type="marketing", content="Winter sale")
    assert campaign["acceptedCount"] == 20_000
    code = await hurried.send(new_id(), phone(1))
    await hurried.until(code["messages"][0]["messageId"], *WITH_PROVIDER, timeout_seconds=10)
    waiting = await bulk.ok("GET", "/sms", taskId=campaign["taskId"], status="queued", pageSize="1000")
    assert waiting["messages"], "the backlog was gone before the code went out, so nothing was shown"
    await healed.heal()

    async def rest() -> Json:
        return await bulk.ok("GET", "/sms", taskId=campaign["taskId"], status="queued", pageSize="1")

    await eventually(rest, lambda page: not page["messages"] and not page["nextPageToken"], 60)
    assert (await healed.stats())["duplicates"] == 0


async def test_a_blocked_queue_of_singles_does_not_delay_another_brand(healed: Chain) -> None:
    bulk, hurried = healed.apps
    await healed.fault("hang", account="M1000001")
    await asyncio.gather(*(bulk.send(new_id(), phone(n), type="marketing") for n in range(200)))
    code = await hurried.send(new_id(), phone(2))
    await hurried.until(code["messages"][0]["messageId"], *WITH_PROVIDER, timeout_seconds=10)
    await healed.heal()


async def test_100_000_recipients_are_one_freeze_and_chunks_of_1000_in_bounded_memory(healed: Chain) -> None:
    app = healed.apps[1]
    before, calls_before = await app.account(), await healed.stats()
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
    stats = await eventually(healed.stats, lambda one: one["accepted_messages"] - seen >= count, 60)
    assert stats["phones_per_call_max"] <= 1000
    assert stats["duplicates"] == 0
    for name in ("gateway", "sms", "sms_rmq", "costcenter"):
        resident = psutil.Process(healed.mesh.supervisor.pid(name)).memory_info().rss
        assert resident < 400 * MEGABYTE, f"{name} holds {resident // MEGABYTE} MB"
