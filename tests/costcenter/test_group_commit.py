"""Many callers, one transaction; connections that break, callers that go away, and a ledger that is full or closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from costcenter_rpc.domain import Answer, Grant, Operation, Pay, PrePay, Release
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, OTHER_BRAND, Center, prepare, running


async def test_callers_that_wait_together_share_a_transaction(center: Center) -> None:
    await center.grant(1000)
    before = center.database.transactions
    answers = await asyncio.gather(*(center.ledger.apply(PrePay(BRAND, f"f{number}", 1)) for number in range(200)))
    assert center.database.transactions - before == 1
    assert [answer.balance.available for answer in answers] == list(range(999, 799, -1))


async def test_no_more_is_frozen_than_there_is_whoever_asks_at_once(center: Center) -> None:
    await center.grant(50)
    answers = await asyncio.gather(*(center.do(PrePay(BRAND, f"f{number}", 1)) for number in range(100)))
    assert [isinstance(answer, Answer) for answer in answers] == [True] * 50 + [False] * 50


@pytest.mark.parametrize("lost", ["lost_replies", "lost_before_commit"])
async def test_a_lost_connection_is_repeated_and_has_one_effect(center: Center, lost: str) -> None:
    await center.grant(100)
    setattr(center.database, lost, 2)
    operations = [PrePay(BRAND, "f1", 10), PrePay(BRAND, "f2", 1000), PrePay(OTHER_BRAND, "f3", 1)]
    answers = await asyncio.gather(*(center.do(operation) for operation in operations))
    assert [type(answer) for answer in answers] == [Answer, DomainError, DomainError]
    assert getattr(center.database, lost) == 0
    assert len((await center.rows("freeze"))["freeze"]) == 1


@pytest.mark.parametrize("lost", ["lost_replies", "lost_before_commit"])
async def test_a_connection_that_stays_lost_is_told_and_the_callers_repeat_has_one_effect(
    center: Center, lost: str
) -> None:
    await center.grant(100)
    setattr(center.database, lost, 3)
    request = PrePay(BRAND, "f", 10)
    refusal = await center.do(request)
    assert isinstance(refusal, DomainError)
    assert (refusal.reason, refusal.is_retryable) == ("DATABASE_UNAVAILABLE", True)
    answer = await center.do(request)
    assert isinstance(answer, Answer)
    assert (answer.balance.available, answer.balance.frozen) == (90, 10)
    assert len((await center.rows("freeze"))["freeze"]) == 1


async def test_a_lost_reply_about_jobs_is_told_and_the_repeat_is_the_same_job(center: Center) -> None:
    await center.grant(100)
    await center.freeze("f", 10)
    center.database.lost_replies = 1
    release = Release(BRAND, "r", "f")
    (refusal,) = await center.jobs.store_all([release])
    assert isinstance(refusal, DomainError)
    (job_id,) = await center.jobs.store_all([release])
    assert [row["job_id"] for row in (await center.rows("job"))["job"]] == [job_id]


async def test_a_caller_that_goes_away_leaves_its_operation_in_the_batch(center: Center) -> None:
    await center.grant(100)
    callers = [asyncio.create_task(center.do(PrePay(BRAND, f"f{number}", 1))) for number in range(10)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, Answer] * 5
    assert (await center.ledger.apply(PrePay(BRAND, "f0", 1))).object_id == f"{BRAND}-2"
    assert (await center.cost_center.get_account(BRAND)).frozen == 10


async def test_refuses_before_taking_any_when_it_is_full(center: Center) -> None:
    with pytest.raises(DomainError) as refusal:
        await center.ledger.apply_all([Grant(BRAND, "g", 1, center.clock.now_ms + 1)] * 50_001)
    assert refusal.value.reason == "OVERLOADED"
    assert (await center.cost_center.get_account(BRAND)).seq == 0


async def test_closing_finishes_what_was_taken(tmp_path: Path) -> None:
    url = await prepare(tmp_path)
    async with running(url) as closing:
        await closing.open(BRAND)
        expires_at_ms = closing.clock.now_ms + 1000
        grants = [Grant(BRAND, f"g{number}", 1, expires_at_ms) for number in range(1000)]
        taken = asyncio.create_task(closing.ledger.apply_all(grants))
        await asyncio.sleep(0)
    assert all(isinstance(answer, Answer) for answer in await taken)
    async with running(url) as center:
        assert (await center.cost_center.get_account(BRAND)).available == 1000


async def test_a_batch_larger_than_any_query_takes_is_done(center: Center) -> None:
    """Freezes, payments and requests are read in lists of bounded length."""
    await center.grant(10_000)
    freezes: list[Operation] = [PrePay(BRAND, f"f{number}", 2) for number in range(1500)]
    made = [answer for answer in await center.ledger.apply_all(freezes) if isinstance(answer, Answer)]
    pays: list[Operation] = [Pay(BRAND, f"p{number}", answer.object_id) for number, answer in enumerate(made)]
    assert all(isinstance(answer, Answer) for answer in await center.ledger.apply_all(pays))
    account = await center.cost_center.get_account(BRAND)
    assert (account.available, account.frozen, account.spent) == (7000, 0, 3000)
