"""Stored releases and receipts are applied once, and again until they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import pytest
from structlog.typing import EventDict

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from costcenter_rmq.clients import JOBS_MAX, CostCenterJobs
from costcenter_rmq.consumer import QUEUES, routes, sweeps
from costcenter_rmq.handlers import JobHandler
from costcenter_rmq.settings import Settings
from costcenter_rpc.domain import Answer, Operation
from mesh.bus.port import DEAD_REASON_HEADER, Delivery, Message
from mesh.testing import eventually
from mesh.worker import Dead, Done, Outcome, Retry, Worker
from tests.sms_rpc.harness import BRAND, DAY_MS, SmsMesh

RELEASES, RECEIPTS = QUEUES
AWAY = grpc.StatusCode.ABORTED


@pytest.fixture
def jobs(mesh: SmsMesh) -> CostCenterJobs:
    return CostCenterJobs(mesh.center_peer)


@pytest.fixture
def handler(jobs: CostCenterJobs) -> JobHandler:
    return JobHandler(jobs)


async def freeze(mesh: SmsMesh, request_id: str, num: int) -> str:
    request = pb.SmsSendPrePayRequest(brand_id=BRAND, request_id=request_id, num=num)
    return (await mesh.center_peer.call(mesh.center.SmsSendPrePay, request)).freeze_id


async def release(mesh: SmsMesh, request_id: str, num: int) -> int:
    """Freeze, and store a release of it; answer the job."""
    await freeze(mesh, request_id, num)
    request = pb.SmsReleaseFreezeNumRequest(brand_id=BRAND, request_id=request_id, freeze_request_id=request_id)
    return (await mesh.center_peer.call(mesh.center.SmsReleaseFreezeNum, request)).job_id


async def pay(mesh: SmsMesh, request_id: str, num: int) -> str:
    freeze_id = await freeze(mesh, request_id, num)
    request = pb.SmsSendPayRequest(brand_id=BRAND, request_id=request_id, freeze_id=freeze_id)
    return (await mesh.center_peer.call(mesh.center.SmsSendPay, request)).payment_id


async def store_receipt(mesh: SmsMesh, request_id: str, payment_id: str, num: int) -> int:
    """Store that a message was not delivered; answer the job."""
    request = pb.SmsReceiptStatusCallBackRequest(
        brand_id=BRAND,
        request_id=request_id,
        payment_id=payment_id,
        message_id=1,
        status=pb.SMS_RECEIPT_STATUS_UNDELIVERED,
        charged_num=num,
    )
    return (await mesh.center_peer.call(mesh.center.SmsReceiptStatusCallBack, request)).job_id


async def receive(mesh: SmsMesh, queue: str) -> list[Delivery]:
    return await mesh.bus.receive(queue, 100, 30)


async def handle(handler: JobHandler, *bodies: bytes) -> Sequence[Outcome]:
    return await handler.handle(
        RELEASES, [Delivery(RELEASES, str(n), body, {}, 1, 0, "") for n, body in enumerate(bodies)]
    )


def ids(*job_ids: int) -> bytes:
    return json.dumps({"ids": job_ids}).encode()


@asynccontextmanager
async def working(mesh: SmsMesh, handler: JobHandler) -> AsyncIterator[None]:
    stop = asyncio.Event()
    worker = asyncio.create_task(Worker(mesh.bus, routes(Settings(), handler)).run(stop, 5))
    try:
        yield
    finally:
        stop.set()
        await worker


async def test_what_is_stored_is_applied_by_the_worker(mesh: SmsMesh, handler: JobHandler) -> None:
    payment_id = await pay(mesh, "paid", 5)
    async with working(mesh, handler):
        await release(mesh, "released", 3)
        await store_receipt(mesh, "receipt", payment_id, 5)

        async def is_given_back() -> bool:
            return await mesh.spent_and_frozen() == (0, 0)

        await eventually(is_given_back)
    for queue in QUEUES:
        depth = await mesh.bus.depth(queue)
        assert (depth.ready, depth.in_flight, depth.delayed) == (0, 0, 0)
    await mesh.is_sound()


async def test_messages_of_many_jobs_are_applied_together_and_each_job_once(mesh: SmsMesh, handler: JobHandler) -> None:
    job_ids = [await release(mesh, f"r{number}", 2) for number in range(5)]
    bodies = [ids(*job_ids[:3]), ids(*job_ids[2:]), ids(job_ids[0], job_ids[0]), ids()]
    for _ in range(2):
        assert await handle(handler, *bodies) == [Done()] * 4
    assert await mesh.spent_and_frozen() == (0, 0)
    await mesh.is_sound()


async def test_a_job_that_nobody_knows_is_done(handler: JobHandler) -> None:
    assert await handle(handler, ids(12345), ids(0, -1)) == [Done(), Done()]


async def test_more_jobs_than_one_call_takes_are_applied_in_parts(
    mesh: SmsMesh, handler: JobHandler, jobs: CostCenterJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, sizes = jobs.apply, list[int]()

    async def counting(job_ids: Sequence[int]) -> list[bool]:
        sizes.append(len(job_ids))
        return await apply(job_ids)

    monkeypatch.setattr(jobs, "apply", counting)
    (real,) = [await release(mesh, "r", 2)]
    unknown = range(10_000, 10_000 + JOBS_MAX)
    assert await handle(handler, ids(*unknown), ids(*unknown, real)) == [Done(), Done()]
    assert sizes == [JOBS_MAX, 1]
    assert await mesh.spent_and_frozen() == (0, 0)


async def test_a_message_that_cannot_be_read_is_dead_and_its_neighbours_are_done(
    mesh: SmsMesh, handler: JobHandler
) -> None:
    job_id = await release(mesh, "r", 2)
    bad = [b"", b"\xff", b"null", b"[1]", b'{"ids": "1"}', b'{"ids": [1.5]}', b'{"ids": [true]}']
    outcomes = await handle(handler, *bad, ids(job_id))
    assert [type(outcome) for outcome in outcomes] == [*[Dead] * len(bad), Done]
    assert all(outcome.reason for outcome in outcomes if isinstance(outcome, Dead))
    assert await mesh.spent_and_frozen() == (0, 0)


async def test_a_dead_message_is_kept_by_the_worker(mesh: SmsMesh, handler: JobHandler) -> None:
    await mesh.bus.publish(RELEASES, [Message(b"not json")])
    async with working(mesh, handler):

        async def letters() -> list[Delivery]:
            return await mesh.bus.list_dead(RELEASES, 10)

        (letter,) = await eventually(letters)
    assert (letter.body, bool(letter.headers[DEAD_REASON_HEADER])) == (b"not json", True)


async def test_what_could_not_be_applied_comes_again(
    mesh: SmsMesh, handler: JobHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, good = await release(mesh, "failing", 2), await release(mesh, "good", 3)
    apply_all = mesh.ledger.apply_all

    async def fail_one(operations: Sequence[Operation]) -> list[Answer | BaseException]:
        answers = await apply_all(operations[1:])
        return [TimeoutError(), *answers]

    with monkeypatch.context() as patch:
        patch.setattr(mesh.ledger, "apply_all", fail_one)
        assert await handle(handler, ids(failing), ids(good), ids(failing, good)) == [
            Retry("NOT_APPLIED"),
            Done(),
            Retry("NOT_APPLIED"),
        ]
    assert await mesh.spent_and_frozen() == (0, 2)
    assert await handle(handler, ids(failing), ids(failing, good)) == [Done(), Done()]
    assert await mesh.spent_and_frozen() == (0, 0)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_worker_tries_again_while_the_cost_center_is_away(
    mesh: SmsMesh, handler: JobHandler, when: str
) -> None:
    fail = mesh.faults.refuse if when == "before" else mesh.faults.lose_answer
    fail("ApplyJobs", AWAY)
    await release(mesh, "r", 2)
    async with working(mesh, handler):

        async def is_delayed() -> bool:
            return (await mesh.bus.depth(RELEASES)).delayed == 1

        await eventually(is_delayed)
        mesh.clock.pass_seconds(60)

        async def is_done() -> bool:
            depth = await mesh.bus.depth(RELEASES)
            return (depth.ready, depth.in_flight, depth.delayed) == (0, 0, 0)

        await eventually(is_done)
    assert await mesh.spent_and_frozen() == (0, 0)


# By the clock.


async def run_sweeps(jobs: CostCenterJobs) -> None:
    for sweep in sweeps(Settings(), jobs):
        await sweep._run_once()


async def test_a_job_whose_message_was_lost_is_put_back_on_its_queue(
    mesh: SmsMesh, handler: JobHandler, jobs: CostCenterJobs
) -> None:
    await release(mesh, "r", 2)
    mesh.bus.lose_everything()
    await run_sweeps(jobs)
    assert await receive(mesh, RELEASES) == []
    mesh.clock.pass_seconds(30)
    await run_sweeps(jobs)
    deliveries = await receive(mesh, RELEASES)
    assert await handler.handle(RELEASES, deliveries) == [Done()]
    assert await mesh.spent_and_frozen() == (0, 0)


async def test_a_job_that_was_stored_without_a_bus_is_put_on_its_queue(
    mesh: SmsMesh, handler: JobHandler, jobs: CostCenterJobs
) -> None:
    payment_id = await pay(mesh, "paid", 5)
    mesh.bus.is_away = True
    await store_receipt(mesh, "receipt", payment_id, 5)
    mesh.bus.is_away = False
    mesh.clock.pass_seconds(30)
    await run_sweeps(jobs)
    assert await handler.handle(RECEIPTS, await receive(mesh, RECEIPTS)) == [Done()]
    assert await mesh.spent_and_frozen() == (0, 0)


async def test_a_job_that_waits_too_long_is_told_to_a_person(
    mesh: SmsMesh, jobs: CostCenterJobs, logs: list[EventDict]
) -> None:
    await release(mesh, "r", 2)
    mesh.clock.pass_seconds(600)
    await run_sweeps(jobs)
    assert not [line for line in logs if line["event"] == "a job waits too long"]
    mesh.clock.pass_seconds(1)
    await run_sweeps(jobs)
    (line,) = [line for line in logs if line["event"] == "a job waits too long"]
    assert (line["log_level"], line["oldest_age_seconds"]) == ("error", 601)


async def test_freezes_and_packages_past_their_time_are_given_up_however_many(
    mesh: SmsMesh, jobs: CostCenterJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costcenter_rmq.clients.JOBS_MAX", 2)
    for number in range(5):
        await freeze(mesh, f"f{number}", 3)
        await mesh.open_brand(100 + number, num=7)
    assert await mesh.spent_and_frozen() == (0, 15)
    mesh.clock.pass_ms(2 * DAY_MS)
    await run_sweeps(jobs)
    assert await mesh.spent_and_frozen() == (0, 0)
    mesh.clock.pass_ms(1000 * DAY_MS)
    await run_sweeps(jobs)
    for number in range(5):
        account = await mesh.account(100 + number)
        assert (account.available, account.expired) == (0, 7)
    await mesh.is_sound()


async def test_packages_that_a_freeze_stands_on_do_not_keep_the_expiry_going(
    mesh: SmsMesh, jobs: CostCenterJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costcenter_rmq.clients.JOBS_MAX", 1)
    account = await mesh.account()
    request = pb.SmsSendPrePayRequest(brand_id=BRAND, request_id="all", num=account.available)
    request.expire_time.FromMilliseconds(mesh.clock.now_ms + 5000 * DAY_MS)
    await mesh.center_peer.call(mesh.center.SmsSendPrePay, request)
    mesh.clock.pass_ms(1001 * DAY_MS)
    async with asyncio.timeout(10):
        await jobs.expire_lots()
    assert await mesh.spent_and_frozen() == (0, account.available)


async def test_one_failing_job_by_the_clock_does_not_keep_the_others(mesh: SmsMesh, jobs: CostCenterJobs) -> None:
    mesh.faults.refuse("ReplayJobs", AWAY)
    await freeze(mesh, "f", 3)
    mesh.clock.pass_ms(2 * DAY_MS)
    await run_sweeps(jobs)
    assert await mesh.spent_and_frozen() == (0, 0)


async def test_its_queues_are_its_own(handler: JobHandler) -> None:
    others = ["costcenter", "sms.send.7.marketing.single", "order.paid"]
    taken = [name for name in [*QUEUES, *others] if any(route.takes(name) for route in routes(Settings(), handler))]
    assert taken == list(QUEUES)
