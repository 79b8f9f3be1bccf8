"""Releases and receipts: stored before the answer, applied behind a queue that may lose, repeat and stop."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest

from costcenter_rpc.domain import Pay, PrePay, Release, ReportReceipt, ReportStatus, SendStatus
from costcenter_rpc.jobs import RECEIPT_QUEUE, RELEASE_QUEUE, JobOperation, JobOutcome
from mesh.bus.id_messages import read_ids
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, OTHER_BRAND, Center

NOBODY = 404


async def store(center: Center, *operations: JobOperation) -> list[int]:
    """Store jobs that are not refused at once."""
    job_ids = [one for one in await center.jobs.store_all(operations) if isinstance(one, int)]
    assert len(job_ids) == len(operations)
    return job_ids


async def refusals(center: Center, *operations: JobOperation) -> list[str]:
    answers = await center.jobs.store_all(operations)
    return [answer.reason if isinstance(answer, DomainError) else "" for answer in answers]


async def queued(center: Center, queue: str) -> list[int]:
    """Take the job ids that wait on a queue."""
    deliveries = await center.bus.receive(queue, 100, 30)
    await center.bus.ack(deliveries)
    return [job_id for delivery in deliveries for job_id in read_ids(delivery.body)]


async def states(center: Center) -> list[tuple[str, str]]:
    return [(row["state"], row["reason"]) for row in (await center.rows("job"))["job"]]


async def available(center: Center) -> int:
    return (await center.cost_center.get_account(BRAND)).available


def receipt(request_id: str, payment_id: str, *, brand_id: int = BRAND, charged_num: int = 2) -> ReportReceipt:
    return ReportReceipt(brand_id, request_id, payment_id, 1, delivered=False, charged_num=charged_num)


async def test_a_job_is_stored_published_and_applied_once(center: Center) -> None:
    await center.grant(100)
    await center.freeze("f", 10)
    payment_id = await center.pay("p", 10)
    release_id, receipt_id = await store(center, Release(BRAND, "r", "f", 4), receipt("c", payment_id))
    assert await available(center) == 80
    assert await queued(center, RELEASE_QUEUE) == [release_id]
    assert await queued(center, RECEIPT_QUEUE) == [receipt_id]
    for _ in range(2):
        assert await center.jobs.apply([release_id, receipt_id, release_id]) == [JobOutcome.APPLIED] * 3
        assert await available(center) == 86
    assert await states(center) == [("APPLIED", "")] * 2


async def test_a_receipt_that_confirms_the_charge_is_kept_and_nobody_has_to_apply_it(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    before = await center.rows("remembered_request", "entry", "payment")
    said, not_said = (
        ReportReceipt(BRAND, request_id, payment_id, 1, delivered=True, charged_num=2, billed_num=billed_num)
        for request_id, billed_num in (("said", 2), ("not-said", 0))
    )
    job_ids = await store(center, said, not_said)
    assert await states(center) == [("NOTED", "")] * 2
    assert await queued(center, RECEIPT_QUEUE) == []
    assert (await center.jobs.replay(0)).replayed == 0
    # One that is named all the same, and one that is reported again.
    assert await center.jobs.apply(job_ids) == [JobOutcome.APPLIED] * 2
    assert await store(center, said) == job_ids[:1]
    assert await refusals(center, dataclasses.replace(said, billed_num=1)) == ["KEY_REUSED"]
    assert await center.rows("remembered_request", "entry", "payment") == before


async def test_two_workers_at_once_apply_a_job_once(center: Center) -> None:
    await center.grant(100)
    await center.freeze("f", 10)
    job_ids = await store(center, Release(BRAND, "r", "f", 4))
    await asyncio.gather(*(center.jobs.apply(job_ids) for _ in range(5)))
    assert await available(center) == 94


async def test_a_job_that_nobody_knows_counts_as_applied(center: Center) -> None:
    assert await center.jobs.apply([12345]) == [JobOutcome.APPLIED]


async def test_jobs_of_one_message_are_applied_in_the_order_of_their_arrival(center: Center) -> None:
    await center.grant(100)
    await center.freeze("f", 10)
    releases = [Release(BRAND, request_id, "f", num) for request_id, num in (("z", 4), ("y", 0), ("a", 5))]
    job_ids = await store(center, *releases)
    assert await queued(center, RELEASE_QUEUE) == job_ids
    await center.jobs.apply(job_ids)
    moved = [(row["request_id"], row["available"]) for row in (await center.rows("entry"))["entry"]]
    assert moved[2:] == [("z", 4), ("y", 6)]


async def test_a_job_that_the_ledger_refuses_keeps_the_reason(center: Center) -> None:
    await center.grant(100)
    freeze_id = await center.freeze("f", 10)
    job_ids = await store(center, Release(BRAND, "r", "f"))
    await center.ledger.apply(Pay(BRAND, "p", freeze_id))
    for _ in range(2):
        assert await center.jobs.apply(job_ids) == [JobOutcome.REFUSED]
        assert await states(center) == [("REFUSED", "FREEZE_ALREADY_PAID")]


async def test_what_no_later_try_can_change_is_refused_at_once(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("paid", 10)
    hopeless: Sequence[tuple[JobOperation, str]] = (
        (Release(NOBODY, "r1", "f"), "ACCOUNT_NOT_FOUND"),
        (receipt("c1", payment_id, brand_id=NOBODY), "ACCOUNT_NOT_FOUND"),
        (receipt("c2", payment_id, brand_id=OTHER_BRAND), "PAYMENT_NOT_FOUND"),
        (receipt("c3", f"{BRAND}-999"), "PAYMENT_NOT_FOUND"),
        (Release(BRAND, "r2", "paid"), "FREEZE_ALREADY_PAID"),
        (Release(OTHER_BRAND, "r3", "paid"), ""),
    )
    assert await refusals(center, *(one for one, _ in hopeless)) == [reason for _, reason in hopeless]
    assert len(await states(center)) == 1


async def test_a_repeat_is_the_same_job_and_another_body_is_refused(center: Center) -> None:
    first = Release(BRAND, "r", "f", 1)
    (job_id,) = await store(center, first)
    assert await store(center, first) == [job_id]
    assert await refusals(center, Release(BRAND, "r", "f", 2)) == ["KEY_REUSED"]
    assert await queued(center, RELEASE_QUEUE) == [job_id]


async def test_twins_in_one_batch_are_one_job(center: Center) -> None:
    first, twin = Release(BRAND, "r", "f", 1), Release(BRAND, "r", "f", 2)
    assert await refusals(center, first, twin, first) == ["", "KEY_REUSED", ""]
    assert len(await states(center)) == 1


async def test_a_hopeless_twin_does_not_spoil_a_good_job(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    good, hopeless = receipt("c", payment_id), receipt("c", f"{BRAND}-999")
    assert await refusals(center, good, hopeless) == ["", "PAYMENT_NOT_FOUND"]
    assert len(await states(center)) == 1


async def test_jobs_outlive_an_absent_bus(center: Center) -> None:
    await center.grant(100)
    await center.freeze("f", 10)
    center.bus.is_away = True
    (job_id,) = await store(center, Release(BRAND, "r", "f"))
    center.clock.pass_ms(60_000)
    with pytest.raises(DomainError) as refusal:
        await center.jobs.replay(30)
    assert (refusal.value.reason, refusal.value.is_retryable) == ("BUS_UNAVAILABLE", True)
    center.bus.is_away = False
    backlog = await center.jobs.replay(30)
    assert (backlog.replayed, backlog.oldest_age_seconds) == (1, 60)
    assert await queued(center, RELEASE_QUEUE) == [job_id]
    await center.jobs.apply([job_id])
    assert await available(center) == 100
    backlog = await center.jobs.replay(0)
    assert (backlog.replayed, backlog.oldest_age_seconds) == (0, 0)


async def test_a_replay_waits_from_one_time_to_the_next(center: Center) -> None:
    (job_id,) = await store(center, Release(BRAND, "r", "f"))
    assert await queued(center, RELEASE_QUEUE) == [job_id]
    center.clock.pass_ms(29_999)
    assert (await center.jobs.replay(30)).replayed == 0
    center.clock.pass_ms(1)
    assert (await center.jobs.replay(30)).replayed == 1
    assert (await center.jobs.replay(30)).replayed == 0
    center.clock.pass_ms(30_000)
    assert (await center.jobs.replay(30)).replayed == 1
    assert await queued(center, RELEASE_QUEUE) == [job_id, job_id]


async def test_a_replay_takes_the_oldest_first_and_no_more_than_asked(center: Center) -> None:
    job_ids = []
    for number in range(3):
        job_ids += await store(center, Release(BRAND, f"r{number}", "f"))
        center.clock.pass_ms(1000)
    await queued(center, RELEASE_QUEUE)
    assert (await center.jobs.replay(0, jobs_max=2)).replayed == 2
    assert await queued(center, RELEASE_QUEUE) == job_ids[:2]


async def test_jobs_wait_while_the_ledger_is_away(center: Center) -> None:
    await center.grant(100)
    await center.freeze("f", 10)
    job_ids = await store(center, Release(BRAND, "r", "f"))
    center.database.lost_before_commit = 3
    assert await center.jobs.apply(job_ids) == [JobOutcome.RETRY]
    assert await states(center) == [("PENDING", "")]
    assert await center.jobs.apply(job_ids) == [JobOutcome.APPLIED]
    assert await available(center) == 100


async def test_a_job_whose_closing_was_lost_is_applied_once(center: Center) -> None:
    await center.grant(100)
    await center.freeze("f", 10)
    job_ids = await store(center, Release(BRAND, "r", "f", 4))
    await center.ledger.apply(Release(BRAND, "r", "f", 4))
    assert await center.jobs.apply(job_ids) == [JobOutcome.APPLIED]
    assert await available(center) == 94


async def test_a_stored_release_refuses_a_freeze_that_comes_late(center: Center) -> None:
    await center.grant(100)
    job_ids = await store(center, Release(BRAND, "r", "f"))
    assert await center.jobs.apply(job_ids) == [JobOutcome.APPLIED]
    late = await center.do(PrePay(BRAND, "f", 10))
    assert isinstance(late, DomainError)
    assert late.reason == "FREEZE_RELEASED"


async def test_a_receipt_after_the_payment_failed_gives_nothing_more_back(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    job_ids = await store(center, receipt("c", payment_id))
    await center.ledger.apply(ReportStatus(BRAND, "s", payment_id, SendStatus.FAILED))
    assert await center.jobs.apply(job_ids) == [JobOutcome.APPLIED]
    assert await available(center) == 100
