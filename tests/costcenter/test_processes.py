"""Processes that are killed at each step of a transaction, and two that race on one database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from costcenter_rpc.domain import Answer, Grant, Pay, PrePay, ReportStatus, SendStatus
from costcenter_rpc.jobs import RELEASE_QUEUE, JobOutcome
from mesh.bus.id_messages import read_ids
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, HOUR_MS, Center, Clock, prepare, running
from tests.costcenter.ledger_process import ACKNOWLEDGED, FAR_MS, FATAL, FATAL_JOBS, POINTS, RACES, told
from tests.costcenter.model import Rows

WITHOUT_TIMES = ("created_at_ms", "queued_at_ms", "expires_at_ms")


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        Path(__file__).with_name("ledger_process.py"),
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines(process: Process) -> AsyncIterator[tuple[str, str]]:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        for name, value in json.loads(line).items():
            yield name, value


async def kill_at(url: str, what: str, point: str) -> dict[str, str]:
    """Run a cost center until it stops at the point, and kill it there; answer what it had acknowledged."""
    acknowledged = {}
    async with started("stop", url, what, point) as process:
        async for name, value in lines(process):
            if name == "stopped":
                break
            acknowledged[name] = value
        process.kill()
        await process.wait()
    return acknowledged


async def do_all(center: Center) -> list[str]:
    answers = [*await center.ledger.apply_all(ACKNOWLEDGED), *await center.ledger.apply_all(FATAL)]
    return [told(answer) for answer in answers]


def without_times(rows: Rows) -> Rows:
    return {
        name: [{column: value for column, value in row.items() if column not in WITHOUT_TIMES} for row in some]
        for name, some in rows.items()
    }


@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_loses_nothing_acknowledged_and_doubles_nothing(tmp_path: Path, point: str) -> None:
    url = await prepare(tmp_path)
    async with running(url) as center:
        await center.open(BRAND)
    acknowledged = await kill_at(url, "ledger", point)
    assert len(acknowledged) == len(ACKNOWLEDGED)
    async with running(url) as center:
        await center.is_sound()
        entries = len((await center.rows("entry"))["entry"])
        assert entries == len(ACKNOWLEDGED) + (5 if point == "after the commit" else 0)
        answers = await do_all(center)
        assert answers[:3] == list(acknowledged.values())
        assert await do_all(center) == answers
        await center.is_sound()
        after = without_times(await center.rows())

    (tmp_path / "other").mkdir()
    async with running(await prepare(tmp_path / "other")) as undisturbed:
        await undisturbed.open(BRAND)
        assert await do_all(undisturbed) == answers
        assert without_times(await undisturbed.rows()) == after


@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_while_jobs_are_stored_loses_none_that_was_acknowledged(tmp_path: Path, point: str) -> None:
    url = await prepare(tmp_path)
    async with running(url) as center:
        await center.open(BRAND)
    await kill_at(url, "jobs", point)
    async with running(url) as center:
        stored = (await center.rows("job"))["job"]
        assert len(stored) == (len(FATAL_JOBS) if point == "after the commit" else 0)
        job_ids = await center.jobs.store_all(FATAL_JOBS)
        assert [row["job_id"] for row in stored] in ([], job_ids)
        center.clock.now_ms = FAR_MS - 1
        await center.jobs.replay(60)
        deliveries = await center.bus.receive(RELEASE_QUEUE, 10, 30)
        delivered = {job_id for delivery in deliveries for job_id in read_ids(delivery.body)}
        assert delivered == set(job_ids)
        assert await center.jobs.apply(sorted(delivered)) == [JobOutcome.APPLIED] * 2
        account = await center.cost_center.get_account(BRAND)
        assert (account.available, account.frozen) == (93, 7)
        await center.is_sound()


async def test_two_processes_with_the_same_ids_have_one_effect_an_id(tmp_path: Path) -> None:
    url = await prepare(tmp_path)
    async with running(url) as center:
        await center.open(BRAND)
        await center.ledger.apply(Grant(BRAND, "g", 10_000, FAR_MS))
    async with started("race", url, "1") as one, started("race", url, "2") as two:
        told_one, told_two = await asyncio.gather(compete(one), compete(two))
    async with running(url) as center:
        freezes = (await center.rows("freeze"))["freeze"]
        await center.is_sound()
    assert len(freezes) == RACES
    for freeze in freezes:
        winner, loser = (told_one, told_two) if freeze["num"] == 1 else (told_two, told_one)
        assert winner[freeze["request_id"]] == freeze["freeze_id"]
        assert loser[freeze["request_id"]] == "KEY_REUSED"


async def compete(process: Process) -> dict[str, str]:
    outcome = {}
    async for name, value in lines(process):
        if name == "ready":
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        else:
            outcome[name] = value
    return outcome


async def test_two_ledgers_of_one_process_have_one_effect_an_id(tmp_path: Path) -> None:
    url = await prepare(tmp_path)
    async with running(url) as one, running(url) as two:
        await one.open(BRAND)
        for number in range(20):
            requests = [Grant(BRAND, f"g{number}", num, FAR_MS) for num in (1, 2)]
            answers = await asyncio.gather(one.do(requests[0]), two.do(requests[1]))
            assert sorted(type(answer).__name__ for answer in answers) == [Answer.__name__, DomainError.__name__]
        assert len((await one.rows("lot"))["lot"]) == 20
        await one.is_sound()


async def test_processes_whose_clocks_are_an_hour_apart_keep_the_ledger_sound(tmp_path: Path) -> None:
    url = await prepare(tmp_path)
    fast_clock = Clock()
    fast_clock.pass_ms(HOUR_MS)
    async with running(url) as slow, running(url, clock=fast_clock) as fast:
        await slow.open(BRAND)
        expires_at_ms = slow.clock.now_ms + HOUR_MS // 2
        await slow.ledger.apply(Grant(BRAND, "g", 100, expires_at_ms))
        freeze_id = await slow.freeze("f", 10)
        payment_id = await slow.pay("p", 10)
        assert (await fast.cost_center.get_account(BRAND)).expired == 80
        assert isinstance(await slow.do(PrePay(BRAND, "f2", 1)), DomainError)
        await fast.ledger.apply(ReportStatus(BRAND, "s1", payment_id, SendStatus.FAILED, 1, 3))
        await slow.ledger.apply(ReportStatus(BRAND, "s2", payment_id, SendStatus.FAILED, 2, 4))
        await slow.ledger.apply(Pay(BRAND, "p2", freeze_id))
        await fast.is_sound()
        kinds = [row["kind"] for row in (await slow.rows("entry"))["entry"]]
        assert kinds[-4:] == ["LOT_EXPIRE", "REFUND_GRACE", "REFUND", "PAY"]
