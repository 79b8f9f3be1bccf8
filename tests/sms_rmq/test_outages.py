"""What is away, crashes, comes twice or cannot be read: no message is submitted twice, and no credit is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.bus.id_messages import publish_ids
from mesh.bus.port import DEAD_REASON_HEADER, Message
from mesh.testing import eventually
from sms_rmq.clients import SmsDispatches
from sms_rmq.providers.port import Accepted, Outcome, Rejected, RetryLater, Submission, Unknown, Verdict
from tests.sms_rmq.chain import CLAIM_SECONDS, SUBMIT_SECONDS, Chain, Process, receipt
from tests.sms_rmq.provider import PROVIDER_MESSAGE_ID
from tests.sms_rpc.harness import e164, phone

# These fail at once, where the channel would try UNAVAILABLE again by itself.
AWAY = grpc.StatusCode.ABORTED
SINGLE_QUEUE = "sms.send.7.notification.single"
HOUR = 3600


# The cost center.


@pytest.mark.parametrize("when", ["before", "after"])
async def test_paying_is_tried_again_and_done_once(chain: Chain, when: str) -> None:
    fail = chain.mesh.faults.refuse if when == "before" else chain.mesh.faults.lose_answer
    fail("BatchSmsSendPay", AWAY)
    await chain.send(phone(1))
    await chain.work()
    assert (await chain.mesh.statuses(), chain.provider.submissions) == (["QUEUED"], [])
    await chain.go_on(200)
    assert len(chain.provider.submissions) == 1
    await chain.ends(1)


async def test_the_channel_itself_tries_an_unavailable_cost_center_again(chain: Chain) -> None:
    chain.mesh.faults.lose_answer("BatchSmsSendPay", grpc.StatusCode.UNAVAILABLE)
    await chain.send()
    await chain.work()
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    await chain.ends(1)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("outcome", "spent"), [(Accepted("1"), 1), (Rejected("105", "SENSITIVE_WORD"), 0)])
async def test_an_outcome_is_told_when_the_cost_center_is_back(
    chain: Chain, outcome: Outcome, spent: int, when: str
) -> None:
    fail = chain.mesh.faults.refuse if when == "before" else chain.mesh.faults.lose_answer
    fail("BatchSmsSendStatusCallBack", AWAY, AWAY)
    chain.provider.script.append(outcome)
    (dispatch_id,) = await chain.send()
    await chain.work()
    assert await chain.mesh.states() == {dispatch_id: "REPORTING"}
    await chain.go_on(SUBMIT_SECONDS)
    assert await chain.mesh.states() == {dispatch_id: "REPORTING"}
    await chain.go_on(SUBMIT_SECONDS)
    await chain.costs(spent)
    assert await chain.mesh.states() == ({dispatch_id: "AWAITING"} if spent else {})
    assert len(chain.provider.submissions) == 1
    await chain.ends(spent)


async def test_a_release_is_told_when_the_cost_center_is_back(chain: Chain) -> None:
    chain.mesh.faults.refuse("SmsReleaseFreezeNum", AWAY)
    await chain.send()
    chain.mesh.clock.pass_seconds(24 * HOUR + 1)
    await chain.work()
    await chain.costs(0, 1)
    await chain.go_on(SUBMIT_SECONDS)
    await chain.costs(0)
    await chain.ends(0)


async def test_losses_are_told_when_the_cost_center_is_back(chain: Chain) -> None:
    chain.provider.script.append(Unknown("ANSWER_LOST"))
    await chain.send(*map(phone, range(5)))
    await chain.work()
    chain.mesh.faults.lose_answer("BatchSmsSendStatusCallBack", AWAY)
    await chain.go_on(72 * HOUR)
    assert set((await chain.mesh.states()).values()) == {"REPORTING"}
    await chain.go_on(SUBMIT_SECONDS)
    await chain.ends(0)


async def test_a_receipt_is_told_when_the_cost_center_is_back(chain: Chain) -> None:
    (message_id,) = await chain.send()
    await chain.work()
    chain.mesh.faults.refuse("BatchSmsReceiptStatusCallBack", AWAY)
    with pytest.raises(Exception, match="SWITCHED_OFF"):
        await chain.receive(receipt(message_id, Verdict.UNDELIVERED))
    await chain.costs(1)
    assert await chain.receive(receipt(message_id, Verdict.UNDELIVERED)) == [True]
    await chain.costs(0)


# sms_rpc.


async def test_a_message_of_the_queue_comes_again_when_nothing_could_be_claimed(chain: Chain) -> None:
    chain.mesh.faults.refuse("ClaimDispatches", AWAY)
    await chain.send()
    await chain.work()
    depth = await chain.mesh.bus.depth(SINGLE_QUEUE)
    assert (depth.delayed, depth.ready) == (1, 0)
    chain.mesh.clock.pass_seconds(30)
    await chain.work()
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    await chain.ends(1)


async def test_a_claim_whose_answer_was_lost_is_taken_up_when_its_lease_is_over(chain: Chain) -> None:
    chain.mesh.faults.lose_answer("ClaimDispatches", AWAY)
    await chain.send()
    await chain.work()
    await chain.go_on(CLAIM_SECONDS)
    assert len(chain.provider.submissions) == 1
    await chain.ends(1)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_charge_that_could_not_be_recorded_is_paid_once(chain: Chain, when: str) -> None:
    fail = chain.mesh.faults.refuse if when == "before" else chain.mesh.faults.lose_answer
    fail("RecordCharges", AWAY)
    await chain.send()
    await chain.work()
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    assert len(chain.provider.submissions) == 1
    await chain.costs(1)
    await chain.ends(1)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_charge_that_is_never_recorded_is_left_to_the_sweep(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr("sms_rmq.handlers._ATTEMPTS_MAX", 1)
    fail = chain.mesh.faults.refuse if when == "before" else chain.mesh.faults.lose_answer
    fail("RecordCharges", AWAY)
    await chain.send()
    await chain.work()
    assert chain.provider.submissions == []
    await chain.costs(1)
    await chain.go_on(SUBMIT_SECONDS)
    if when == "before":
        assert await chain.mesh.statuses() == ["SUBMITTED"]
        await chain.ends(1)
    else:
        # It was noted that the message is being submitted, and nobody can tell any more that it was not.
        assert await chain.mesh.statuses() == ["UNKNOWN"]
        await chain.ends(0)


@pytest.mark.parametrize(("code", "submit_seconds"), [(grpc.StatusCode.FAILED_PRECONDITION, SUBMIT_SECONDS), (AWAY, 1)])
async def test_a_charge_is_not_recorded_again_where_that_helps_nobody(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, submit_seconds: int
) -> None:
    """What is refused stays refused, and once a submission is held no longer nothing may be submitted."""
    monkeypatch.setattr(SmsDispatches, "submit_seconds", submit_seconds)
    chain.mesh.faults.refuse("RecordCharges", code, code)
    await chain.send()
    await chain.work()
    assert len(chain.mesh.faults.before["RecordCharges"]) == 1
    assert chain.provider.submissions == []


async def test_a_charge_that_is_recorded_again_too_late_submits_nothing(chain: Chain) -> None:
    chain.mesh.faults.lose_answer("RecordCharges", AWAY)
    (dispatch_id,) = await chain.send()
    working = asyncio.create_task(chain.work())

    async def is_noted() -> bool:
        return await chain.mesh.states() == {dispatch_id: "SUBMITTING"}

    await eventually(is_noted)
    chain.mesh.clock.pass_seconds(SUBMIT_SECONDS)
    await chain.sweep()
    await working
    assert chain.provider.submissions == []
    assert await chain.mesh.statuses() == ["UNKNOWN"]
    await chain.ends(0)


async def test_a_charge_whose_answer_was_lost_is_asked_for_again_and_submitted(chain: Chain) -> None:
    chain.mesh.faults.lose_answer("RecordCharges", grpc.StatusCode.UNAVAILABLE)
    await chain.send()
    await chain.work()
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    await chain.ends(1)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_outcome_is_recorded_when_sms_rpc_is_back(chain: Chain, when: str) -> None:
    fail = chain.mesh.faults.refuse if when == "before" else chain.mesh.faults.lose_answer
    fail("RecordSubmissions", AWAY)
    await chain.send()
    await chain.work()
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    await chain.ends(1)


async def test_an_outcome_that_cannot_be_recorded_does_not_keep_others_from_it(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight answers come at once, and the database takes ill what one of them holds."""
    monkeypatch.setattr("sms_rmq.handlers._ATTEMPTS_MAX", 1)
    real = chain.first.dispatches._stub.RecordSubmissions

    def record(request: pb.RecordSubmissionsRequest, **details: Any) -> Any:
        if any(one.provider_message_id == "bad" for one in request.submissions):
            chain.mesh.faults.refuse("RecordSubmissions", grpc.StatusCode.INTERNAL)
        return real(request, **details)

    monkeypatch.setattr(chain.first.dispatches._stub, "RecordSubmissions", record)
    answering = asyncio.Barrier(8)

    async def answer(submission: Submission) -> Outcome:
        await answering.wait()
        return Accepted("bad" if submission.recipients[0].phone_e164 == e164(3) else "good")

    chain.provider.script.extend([answer] * 8)
    ids = [(await chain.send(phone(number)))[0] for number in range(8)]
    chain.mesh.bus.lose_everything()
    await publish_ids(chain.mesh.bus, SINGLE_QUEUE, ids)
    await chain.work()
    assert await chain.mesh.statuses(*ids) == ["SUBMITTED"] * 3 + ["CHARGED"] + ["SUBMITTED"] * 4


async def test_an_outcome_that_is_never_recorded_is_unknown(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sms_rmq.handlers._ATTEMPTS_MAX", 1)
    chain.mesh.faults.refuse("RecordSubmissions", AWAY)
    (message_id,) = await chain.send()
    await chain.work()
    assert await chain.mesh.statuses() == ["CHARGED"]
    await chain.go_on(SUBMIT_SECONDS)
    assert await chain.mesh.statuses() == ["UNKNOWN"]
    await chain.receive(receipt(message_id, Verdict.DELIVERED))
    assert len(chain.provider.submissions) == 1
    await chain.ends(1)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_dispatch_that_could_not_be_finished_is_told_again_in_vain(chain: Chain, when: str) -> None:
    fail = chain.mesh.faults.refuse if when == "before" else chain.mesh.faults.lose_answer
    fail("FinishDispatches", AWAY)
    chain.provider.script.append(Rejected("105", "SENSITIVE_WORD"))
    await chain.send()
    await chain.work()
    await chain.costs(0)
    await chain.go_on(SUBMIT_SECONDS)
    assert await chain.mesh.states() == {}
    await chain.ends(0)


async def test_receipts_are_recorded_when_sms_rpc_is_back(chain: Chain) -> None:
    (message_id,) = await chain.send()
    await chain.work()
    chain.mesh.faults.lose_answer("RecordReceipts", AWAY)
    with pytest.raises(Exception, match="SWITCHED_OFF"):
        await chain.receive(receipt(message_id, Verdict.UNDELIVERED))
    assert await chain.receive(receipt(message_id, Verdict.UNDELIVERED)) == [True]
    await chain.ends(0)


# A consumer that dies, at each step of its way.


class DiedError(BaseException):
    """The process is gone: nothing of it goes on."""


def die(process: Process, step: str, *, afterwards: bool = False) -> Callable[[], None]:
    """Let a process die at a step, before or after it was done. Answers what lets it live again."""
    owner = process.handler._cost_center if step in {"pay", "report"} else process.dispatches
    real = getattr(owner, step)

    async def dying(*arguments: object) -> None:
        if afterwards:
            await real(*arguments)
        raise DiedError

    setattr(owner, step, dying)
    return lambda: setattr(owner, step, real)


@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["claim_singles", "pay", "record_charge", "record_submission", "report", "finish"])
@pytest.mark.parametrize(("outcome", "spent"), [(Accepted("1"), 1), (Rejected("105", "SENSITIVE_WORD"), 0)])
async def test_a_consumer_that_dies_costs_nothing(
    chain: Chain, step: str, outcome: Outcome, spent: int, *, afterwards: bool
) -> None:
    chain.provider.script.append(outcome)
    (message_id,) = await chain.send()
    die(chain.first, step, afterwards=afterwards)
    await work_until_dead(chain)
    for _ in range(3):
        chain.mesh.clock.pass_seconds(SUBMIT_SECONDS + 30)
        await chain.second.dispatches.sweep(100)
        await chain.work(chain.second)
    is_lost = (step, afterwards) in {("record_charge", True), ("record_submission", False)}
    if is_lost:
        assert await chain.mesh.statuses() == ["UNKNOWN"]
        await chain.costs(1)
        if len(chain.provider.submissions) and spent:
            await chain.receive(receipt(message_id, Verdict.DELIVERED))
        else:
            spent = 0
    else:
        assert len(chain.provider.submissions) == 1
        await chain.costs(spent)
    assert len(chain.provider.submissions) <= 1
    chain.first = chain.second
    await chain.ends(spent)


async def work_until_dead(chain: Chain) -> None:
    """Let the first process take one message, which is its last: nothing acknowledges it."""
    (delivery,) = await chain.mesh.bus.receive(SINGLE_QUEUE, 1, 10)
    try:
        await chain.first.handle(SINGLE_QUEUE, [delivery])
    except DiedError:
        return


@pytest.mark.parametrize("count", [1, 1001], ids=["single", "campaign"])
async def test_what_a_dead_consumer_had_paid_is_refunded_when_it_is_no_longer_of_use(chain: Chain, count: int) -> None:
    """A consumer died between paying and noting it, and its message is found again when it is stale."""
    await chain.send(*map(phone, range(count)), type=pb.SMS_TYPE_VERIFICATION)
    mode = "single" if count == 1 else "batch"
    queue = f"sms.send.7.verification.{mode}"
    live_again = die(chain.first, "record_charge")
    (delivery,) = await chain.mesh.bus.receive(queue, 1, 10)
    await chain.first.handle(queue, [delivery])
    live_again()
    await chain.costs(min(count, 1000), count - min(count, 1000))
    chain.mesh.clock.pass_seconds(601)
    await chain.second.dispatches.sweep(100)
    await chain.work(chain.second)
    assert set(await chain.mesh.statuses()) == {"FAILED"}
    await chain.costs(0)
    await chain.ends(0)
    assert chain.provider.submissions == []


async def test_what_was_paid_without_an_answer_is_refunded_when_it_is_no_longer_of_use(chain: Chain) -> None:
    chain.mesh.faults.lose_answer("BatchSmsSendPay", AWAY)
    await chain.send(type=pb.SMS_TYPE_VERIFICATION)
    await chain.work()
    await chain.costs(1)
    await chain.go_on(601)
    assert await chain.mesh.statuses() == ["FAILED"]
    await chain.costs(0)
    await chain.ends(0)


async def test_a_consumer_that_slept_through_its_lease_does_nothing(chain: Chain) -> None:
    """It claimed, and another took over, paid and submitted while it slept."""
    (message_id,) = await chain.send(type=pb.SMS_TYPE_VERIFICATION)
    (dispatch,) = await chain.first.dispatches.claim([message_id])
    chain.mesh.clock.pass_seconds(CLAIM_SECONDS)
    await chain.sweep()
    await chain.work(chain.second)
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    chain.mesh.clock.pass_seconds(24 * HOUR)
    await chain.first.handler._work([dispatch])
    assert len(chain.provider.submissions) == 1
    await chain.costs(1)
    await chain.ends(1)


async def test_a_consumer_that_is_stopped_while_the_provider_answers_leaves_it_unknown(chain: Chain) -> None:
    answering = asyncio.Event()

    async def hang(_: Submission) -> Outcome:
        answering.set()
        await asyncio.Event().wait()
        raise AssertionError

    chain.provider.script.append(hang)
    (message_id,) = await chain.send()
    working = asyncio.create_task(chain.work())
    await answering.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    chain.mesh.clock.pass_seconds(SUBMIT_SECONDS)
    await chain.sweep()
    await chain.work(chain.second)
    assert await chain.mesh.statuses() == ["UNKNOWN"]
    await chain.receive(receipt(message_id, Verdict.DELIVERED))
    assert len(chain.provider.submissions) == 1
    await chain.ends(1)


# Messages of the queue.


async def test_a_message_that_comes_twice_is_submitted_once(chain: Chain) -> None:
    ids = [(await chain.send(phone(number)))[0] for number in range(3)]
    for _ in range(3):
        await publish_ids(chain.mesh.bus, SINGLE_QUEUE, [*ids, *ids])
    await chain.work()
    await publish_ids(chain.mesh.bus, SINGLE_QUEUE, ids)
    await chain.work(chain.second)
    assert sorted(chain.provider.phones) == [e164(number) for number in range(3)]
    await chain.ends(3)


async def test_two_consumers_with_the_same_messages_submit_each_once(chain: Chain) -> None:
    async def slowly(_: Submission) -> Outcome:
        await asyncio.sleep(0.01)
        return Accepted(PROVIDER_MESSAGE_ID)

    ids = [(await chain.send(phone(number)))[0] for number in range(20)]
    chain.provider.script.extend([slowly] * 20)
    chain.mesh.bus.lose_everything()
    for _ in range(4):
        await publish_ids(chain.mesh.bus, SINGLE_QUEUE, ids, 5)
    await asyncio.gather(chain.work(chain.first), chain.work(chain.second), chain.work(chain.first))
    assert sorted(chain.provider.phones) == [e164(number) for number in range(20)]
    await chain.ends(20)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"17",
        b'{"ids": 17}',
        b'{"ids": ["17"]}',
        b'{"ids": [1.5]}',
        b'{"ids": [true]}',
        b'{"ids": [null]}',
        b'{"ids": [1' + b"0" * 5000 + b"]}",
    ],
    ids=lambda body: body[:20].decode(errors="replace") or "empty",
)
async def test_a_message_that_cannot_be_read_is_a_dead_letter_and_its_neighbours_go_on(
    chain: Chain, body: bytes
) -> None:
    (first,) = await chain.send(phone(1))
    await chain.mesh.bus.publish(SINGLE_QUEUE, [Message(body)])
    (last,) = await chain.send(phone(2))
    await chain.work()
    (letter,) = await chain.dead_letters(SINGLE_QUEUE)
    assert letter.body == body
    assert letter.headers[DEAD_REASON_HEADER]
    assert await chain.mesh.statuses(first, last) == ["SUBMITTED", "SUBMITTED"]


async def test_a_message_of_no_id_or_of_unknown_ids_is_done(chain: Chain) -> None:
    bodies = [json.dumps({"ids": ids}).encode() for ids in ([], [1, 2], [0, -1], [(1 << 63) - 1])]
    await chain.mesh.bus.publish(SINGLE_QUEUE, [Message(body) for body in bodies])
    await chain.work()
    depth = await chain.mesh.bus.depth(SINGLE_QUEUE)
    assert (depth.ready, depth.in_flight, depth.delayed) == (0, 0, 0)
    assert await chain.dead_letters(SINGLE_QUEUE) == []


async def test_a_message_of_very_many_ids_is_worked_in_parts(chain: Chain) -> None:
    ids = [(await chain.send(phone(number)))[0] for number in range(3)]
    body = json.dumps({"ids": [*range(1, 600), *ids, *range(600, 1200)]}).encode()
    chain.mesh.bus.lose_everything()
    await chain.mesh.bus.publish(SINGLE_QUEUE, [Message(body)])
    await chain.work()
    assert await chain.mesh.statuses() == ["SUBMITTED"] * 3


async def test_what_the_bus_lost_is_sent_all_the_same(chain: Chain) -> None:
    await chain.send(phone(1))
    await chain.send(phone(2), phone(3))
    chain.mesh.bus.lose_everything()
    await chain.go_on(30)
    await chain.ends(3)


async def test_what_was_accepted_without_a_bus_is_sent_when_it_is_back(chain: Chain) -> None:
    chain.mesh.bus.is_away = True
    await chain.send(phone(1))
    await chain.send(phone(2), phone(3))
    await chain.sweep()
    chain.mesh.bus.is_away = False
    await chain.go_on(1)
    assert await chain.mesh.statuses() == ["SUBMITTED"] * 3
    await chain.ends(3)


async def test_one_dispatch_that_fails_does_not_hold_up_the_others(chain: Chain) -> None:
    chain.provider.script.extend([RuntimeError("a defect"), RetryLater(1, "104", "PROVIDER_BUSY")])
    for number in range(5):
        await chain.send(phone(number))
    chain.mesh.bus.lose_everything()
    await publish_ids(chain.mesh.bus, SINGLE_QUEUE, list(await chain.mesh.states()))
    await chain.work()
    assert sorted(await chain.mesh.statuses()) == ["CHARGED", "CHARGED", *["SUBMITTED"] * 3]
    await chain.ends(3)
