"""From a request to stored, frozen and queued messages: once, whatever is repeated, crossed or lost on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.batch import unpack
from mesh.database import Database
from mesh.errors import DomainError
from mesh.timestamps import to_timestamp
from sms_rpc import tables
from sms_rpc.plan import Plan
from sms_rpc.sending import Accepted
from sms_rpc.servicer import _send_request as send_request
from tests.sms_rpc.consumer import Consumer
from tests.sms_rpc.harness import BRAND, HOUR_MS, OTHER_BRAND, SmsMesh, e164, ids_of, phone, refused
from tests.sms_rpc.running import build

ABROAD = ["+12015550123", "+12015550124"]
BATCH_QUEUE = "sms.send.7.notification.batch"


async def queued(mesh: SmsMesh, queue: str) -> list[list[int]]:
    """Take all messages off a queue; answer the dispatches that each names."""
    deliveries = await mesh.bus.receive(queue, 1000, 30)
    await mesh.bus.ack(deliveries)
    return [json.loads(delivery.body)["ids"] for delivery in deliveries]


async def batch(mesh: SmsMesh, *requests: pb.SendSmsRequest) -> list[pb.SendSmsResponse | DomainError]:
    answer = await mesh.sms_peer.call(mesh.sms.BatchSendSms, pb.BatchSendSmsRequest(requests=requests))
    return unpack(answer.results)


async def counts(mesh: SmsMesh) -> tuple[int, int, int]:
    """Count tasks, records and dispatches."""
    found = [await mesh.rows(table) for table in (tables.task, tables.record, tables.dispatch)]
    return len(found[0]), len(found[1]), len(found[2])


# What is stored and queued.


async def test_one_recipient_goes_by_the_single_queue(mesh: SmsMesh) -> None:
    sent = await mesh.send(phone(1), type=pb.SMS_TYPE_VERIFICATION)
    (message_id,) = ids_of(sent)
    assert sent.task_id == str(message_id)
    assert (sent.accepted_count, sent.blocked_count, sent.frozen, sent.freeze_id) == (1, 0, 1, "7-2")
    assert await queued(mesh, "sms.send.7.verification.single") == [[message_id]]
    assert await mesh.spent_and_frozen() == (0, 1)


async def test_more_recipients_go_by_the_batch_queue_in_their_order(mesh: SmsMesh) -> None:
    sent = await mesh.send(phone(3), phone(1), phone(2), type=pb.SMS_TYPE_MARKETING, content="x" * 100)
    assert [message.phone for message in sent.messages] == [e164(3), e164(1), e164(2)]
    assert sent.frozen == 3 * 2
    assert await queued(mesh, "sms.send.7.marketing.batch") == [[ids_of(sent)[0]]]


async def test_recipients_abroad_go_apart_from_those_inside(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND, international=True)
    phones = [ABROAD[0], phone(1), ABROAD[1], phone(2), phone(3)]
    sent = await mesh.send(*phones, brand_id=OTHER_BRAND, content="x" * 100)
    # In brackets the signature is no GSM text: 100 + 10 units of UCS2 are two parts. Mainland: ceil(110 / 67).
    assert sent.frozen == 5 * 2
    rows = await mesh.rows(tables.dispatch)
    first = int(sent.task_id)
    assert [(row["dispatch_id"], row["record_count"]) for row in rows] == [(first, 3), (first + 3, 2)]
    consumer = Consumer(mesh)
    mainland, abroad = await consumer.claim(first, first + 3)
    assert [one.phone for one in mainland.recipients] == [e164(1), e164(2), e164(3)]
    assert [one.phone for one in abroad.recipients] == ABROAD
    assert await queued(mesh, "sms.send.8.notification.batch") == [[first], [first + 3]]


async def test_variable_texts_are_counted_as_each_is_filled(mesh: SmsMesh) -> None:
    sent = await mesh.send_variable((phone(1), ["Lin", "7"]), (phone(2), ["M" * 60, "8"]))
    assert [row["segments"] for row in await mesh.rows(tables.record)] == [1, 2]
    assert sent.frozen == 3
    got = await mesh.get(ids_of(sent)[1])
    assert got.sms.text == f"【Blue Bay】Dear {'M' * 60}, table 8 is ready"


async def test_a_batch_answers_each_request_in_its_place(mesh: SmsMesh) -> None:
    good, bad = mesh.request(phone(1)), mesh.request("bad")
    other = mesh.request(phone(2), brand_id=99)
    results = await batch(mesh, good, bad, other, good, mesh.request(phone(3)))
    reasons = [one.reason if isinstance(one, DomainError) else one.messages[0].phone for one in results]
    assert reasons == [e164(1), "INVALID_REQUEST", "BRAND_NOT_FOUND", e164(1), e164(3)]
    assert results[0] == results[3]
    assert await counts(mesh) == (2, 2, 2)
    assert await mesh.spent_and_frozen() == (0, 2)


async def test_a_large_request_in_a_batch_is_answered_in_its_place(mesh: SmsMesh) -> None:
    requests = [mesh.request(phone(1)), mesh.request(*map(phone, range(1001))), mesh.request(phone(2))]
    results = await batch(mesh, *requests)
    assert [one.accepted_count for one in results if not isinstance(one, DomainError)] == [1, 1001, 1]


# Repeats.


async def test_a_repeat_answers_the_same_and_does_nothing(mesh: SmsMesh) -> None:
    request = mesh.request(phone(1), phone(2))
    first = await mesh.sms_peer.call(mesh.sms.SendSms, request)
    account = await mesh.account()
    mesh.clock.pass_ms(HOUR_MS)
    for _ in range(2):
        assert await mesh.sms_peer.call(mesh.sms.SendSms, request) == first
    assert await mesh.account() == account
    assert await counts(mesh) == (1, 2, 1)
    assert len(await queued(mesh, BATCH_QUEUE)) == 1


async def test_a_repeat_answers_the_same_whatever_has_happened_since(mesh: SmsMesh) -> None:
    request = mesh.request(phone(1))
    first = await mesh.sms_peer.call(mesh.sms.SendSms, request)
    consumer = Consumer(mesh)
    await consumer.claim(*ids_of(first))
    await consumer.charge(*ids_of(first))
    await consumer.record(ids_of(first)[0], pb.DISPATCH_OUTCOME_REJECTED, "SENSITIVE_WORD")
    assert await mesh.statuses() == ["FAILED"]
    assert await mesh.sms_peer.call(mesh.sms.SendSms, request) == first


async def test_a_repeat_after_its_scheduled_time_is_no_new_request(mesh: SmsMesh) -> None:
    request = mesh.request(phone(1), schedule_time=to_timestamp(mesh.clock.now_ms + HOUR_MS))
    first = await mesh.sms_peer.call(mesh.sms.SendSms, request)
    mesh.clock.pass_ms(2 * HOUR_MS)
    assert await mesh.sms_peer.call(mesh.sms.SendSms, request) == first
    assert first.messages[0].status == pb.SMS_STATUS_SCHEDULED


@pytest.mark.parametrize(
    "change",
    [
        {"type": pb.SMS_TYPE_MARKETING},
        {"content": "Your table is not ready"},
        {"signature": "Red Bay"},
        {"phones": [phone(1)]},
        {"phones": [phone(2), phone(1)]},
        {"phones": [phone(1), phone(3)]},
        {"schedule_time": to_timestamp(4_000_000_000_000)},
        {"content": "Your table is ready "},
    ],
    ids=str,
)
async def test_a_request_id_is_not_used_for_another_request(mesh: SmsMesh, change: dict[str, Any]) -> None:
    await mesh.send(phone(1), phone(2), request_id="once")
    before = await counts(mesh), await mesh.account()
    with refused("KEY_REUSED") as caught:
        await mesh.send(**({"phones": [phone(1), phone(2)], "request_id": "once"} | change))
    assert caught.value.code is grpc.StatusCode.ALREADY_EXISTS
    assert (await counts(mesh), await mesh.account()) == before


async def test_a_request_id_is_not_used_for_a_variable_send_with_other_values(mesh: SmsMesh) -> None:
    await mesh.send_variable((phone(1), ["Lin", "7"]), request_id="once")
    for values in (["Lin", "8"], ["Lin7", ""], ["7", "Lin"]):
        with refused("KEY_REUSED"):
            await mesh.send_variable((phone(1), values), request_id="once")
    with refused("KEY_REUSED"):
        await mesh.send(phone(1), content="Dear {$var}, table {$var} is ready", request_id="once")


async def test_a_request_id_is_another_brands_own(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    first = await mesh.send(phone(1), request_id="once")
    second = await mesh.send(phone(1), request_id="once", brand_id=OTHER_BRAND)
    assert first.task_id != second.task_id


async def test_in_one_batch_a_request_id_is_the_first_requests(mesh: SmsMesh) -> None:
    bad = mesh.request("bad", request_id="once")
    first, second = mesh.request(phone(1), request_id="once"), mesh.request(phone(2), request_id="once")
    refusal, sent, again, reused = await batch(mesh, bad, first, first, second)
    assert isinstance(refusal, DomainError)
    assert sent == again
    assert isinstance(reused, DomainError)
    assert (refusal.reason, reused.reason) == ("INVALID_REQUEST", "KEY_REUSED")
    assert await counts(mesh) == (1, 1, 1)


# Many at once.


async def test_twenty_of_the_same_at_once_are_one(mesh: SmsMesh) -> None:
    request = mesh.request(phone(1), phone(2))
    answers = await asyncio.gather(*(mesh.sms_peer.call(mesh.sms.SendSms, request) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await counts(mesh) == (1, 2, 1)
    assert await mesh.spent_and_frozen() == (0, 2)
    assert len(await queued(mesh, BATCH_QUEUE)) == 1


@pytest.mark.parametrize("count", [2, 1001], ids=["small", "large"])
async def test_two_processes_with_the_same_at_once_make_one(mesh: SmsMesh, count: int) -> None:
    async with AsyncExitStack() as stack:
        database = Database(mesh.database.url.render_as_string(hide_password=False))
        stack.push_async_callback(database.close)
        another = await build(database, mesh.bus, mesh.center_peer, stack)
        for number in range(5):
            request = send_request(mesh.request(*map(phone, range(count)), request_id=f"crossed-{number}"))
            answers = await asyncio.gather(
                *(sending.send_all([request]) for sending in (mesh.sending, another.sending) for _ in range(3))
            )
            task_ids = {answer.task.task_id for (answer,) in answers if not isinstance(answer, BaseException)}
            assert len(task_ids) == 1, answers
    assert len(await mesh.rows(tables.task)) == 5
    assert await mesh.spent_and_frozen() == (0, 5 * count)


async def test_two_processes_with_another_body_at_once_make_one(mesh: SmsMesh) -> None:
    async with AsyncExitStack() as stack:
        another = await build(mesh.database, mesh.bus, mesh.center_peer, stack)
        for number in range(5):
            requests = [send_request(mesh.request(phone(one), request_id=f"crossed-{number}")) for one in (1, 2)]
            answers = await asyncio.gather(mesh.sending.send_all(requests[:1]), another.sending.send_all(requests[1:]))
            refusals = [answer.reason for (answer,) in answers if isinstance(answer, DomainError)]
            assert refusals == ["KEY_REUSED"]
    assert await counts(mesh) == (5, 5, 5)
    assert await mesh.spent_and_frozen() == (0, 5)


# Credit.


async def test_without_credit_nothing_is_sent_and_the_answer_stays(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND, num=3)
    request = mesh.request(phone(1), phone(2), brand_id=OTHER_BRAND, content="x" * 100)
    for _ in range(2):
        with refused("INSUFFICIENT_CREDIT") as caught:
            await mesh.sms_peer.call(mesh.sms.SendSms, request)
        assert caught.value.metadata == {"available": "3", "required": "4"}
        assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
        await mesh.grant(10, OTHER_BRAND)
    assert await counts(mesh) == (0, 0, 0)
    request.request_id = "another"
    assert (await mesh.sms_peer.call(mesh.sms.SendSms, request)).frozen == 4
    await mesh.is_sound()


async def test_a_refused_request_id_is_not_used_for_another_request_either(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND, num=0)
    with refused("INSUFFICIENT_CREDIT"):
        await mesh.send(phone(1), brand_id=OTHER_BRAND, request_id="once")
    await mesh.grant(10, OTHER_BRAND)
    with refused("KEY_REUSED"):
        await mesh.send(phone(2), brand_id=OTHER_BRAND, request_id="once")


async def test_the_last_credits_are_frozen_once(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND, num=5)
    requests = [mesh.request(phone(number), brand_id=OTHER_BRAND) for number in range(20)]
    answers = await asyncio.gather(
        *(mesh.sms_peer.call(mesh.sms.SendSms, request) for request in requests), return_exceptions=True
    )
    refusals = [answer.reason for answer in answers if isinstance(answer, DomainError)]
    assert refusals == ["INSUFFICIENT_CREDIT"] * 15
    assert await mesh.spent_and_frozen(OTHER_BRAND) == (0, 5)


# What fails on the way.


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_send_is_repeated_after_the_cost_center_was_away(mesh: SmsMesh, when: str) -> None:
    fail = mesh.faults.refuse if when == "before" else mesh.faults.lose_answer
    fail("BatchSmsSendPrePay", grpc.StatusCode.ABORTED)
    request = mesh.request(phone(1))
    with refused("SWITCHED_OFF"):
        await mesh.sms_peer.call(mesh.sms.SendSms, request)
    assert await counts(mesh) == (0, 0, 0)
    await mesh.sms_peer.call(mesh.sms.SendSms, request)
    assert await mesh.spent_and_frozen() == (0, 1)


async def test_a_send_is_repeated_after_its_answer_was_lost(mesh: SmsMesh) -> None:
    request = mesh.request(phone(1))
    mesh.faults.lose_answer("SendSms", grpc.StatusCode.UNAVAILABLE)
    sent = await mesh.sms_peer.call(mesh.sms.SendSms, request)
    assert await counts(mesh) == (1, 1, 1)
    assert await queued(mesh, "sms.send.7.notification.single") == [ids_of(sent)]


async def test_what_could_not_be_stored_is_frozen_once_and_stored_when_it_is_repeated(
    mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = mesh.request(phone(1))
    with monkeypatch.context() as patch:
        patch.setattr("sms_rpc.storage.insert_tasks", away)
        (answer,) = await mesh.sending.send_all([send_request(request)])
    assert isinstance(answer, DomainError)
    assert await mesh.spent_and_frozen() == (0, 1)
    await mesh.sms_peer.call(mesh.sms.SendSms, request)
    assert await mesh.spent_and_frozen() == (0, 1)
    assert await counts(mesh) == (1, 1, 1)


async def test_what_can_never_be_stored_is_released(mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([int((await mesh.send(phone(number))).task_id) for number in (1, 2)])

    async def allocate(_: int) -> int:
        return next(taken)

    with monkeypatch.context() as patch:
        patch.setattr(mesh.sending._ids, "allocate", allocate)
        requests = [send_request(mesh.request(phone(number))) for number in (3, 4)]
        answers = await mesh.sending.send_all(requests)
    assert [answer.reason for answer in answers if isinstance(answer, DomainError)] == ["NOT_STORED"] * 2
    await mesh.apply_jobs()
    assert await mesh.spent_and_frozen() == (0, 2)
    assert await counts(mesh) == (2, 2, 2)
    await mesh.is_sound()


# The block list.


@pytest.mark.parametrize(
    ("type_", "is_held_back"),
    [(pb.SMS_TYPE_MARKETING, True), (pb.SMS_TYPE_NOTIFICATION, True), (pb.SMS_TYPE_VERIFICATION, False)],
)
async def test_the_block_list_holds_back_all_but_codes(
    mesh: SmsMesh, type_: pb.SmsType.ValueType, *, is_held_back: bool
) -> None:
    await block(mesh, phone(2))
    sent = await mesh.send(phone(1), phone(2), phone(3), type=type_)
    kept = 2 if is_held_back else 3
    assert (sent.accepted_count, sent.blocked_count, sent.frozen) == (kept, 3 - kept, kept)
    statuses = [pb.SMS_STATUS_QUEUED] * 3
    if is_held_back:
        statuses[1] = pb.SMS_STATUS_BLOCKED
    assert [message.status for message in sent.messages] == statuses
    (dispatch,) = await Consumer(mesh).claim(ids_of(sent)[0])
    assert len(dispatch.recipients) == kept
    assert await mesh.spent_and_frozen() == (0, kept)


async def test_a_send_to_blocked_phones_alone_is_refused_until_one_is_unblocked(mesh: SmsMesh) -> None:
    await block(mesh, f"+86 {phone(1)}")
    await block(mesh, phone(2))
    request = mesh.request(phone(1), phone(2))
    with refused("RECIPIENT_BLOCKED"):
        await mesh.sms_peer.call(mesh.sms.SendSms, request)
    assert await counts(mesh) == (0, 0, 0)
    assert (await mesh.account()).seq == 1
    await mesh.sms_peer.call(mesh.sms.UnblockPhone, pb.UnblockPhoneRequest(brand_id=BRAND, phone=e164(1)))
    assert (await mesh.sms_peer.call(mesh.sms.SendSms, request)).accepted_count == 1


async def test_a_block_is_one_brands_own(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    await block(mesh, phone(1))
    assert (await mesh.send(phone(1), brand_id=OTHER_BRAND)).accepted_count == 1


async def test_a_blocked_phone_is_blocked_in_a_repeat_as_well(mesh: SmsMesh) -> None:
    await block(mesh, phone(1))
    request = mesh.request(phone(1), phone(2))
    first = await mesh.sms_peer.call(mesh.sms.SendSms, request)
    await mesh.sms_peer.call(mesh.sms.UnblockPhone, pb.UnblockPhoneRequest(brand_id=BRAND, phone=phone(1)))
    assert await mesh.sms_peer.call(mesh.sms.SendSms, request) == first


@pytest.mark.parametrize("change", ["block", "unblock", "block another"])
async def test_a_send_that_was_frozen_is_stored_when_it_is_repeated_though_the_block_list_changed(
    mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    if change != "block":
        await block(mesh, phone(1))
    request = mesh.request(phone(1), phone(2), phone(3))
    with monkeypatch.context() as patch:
        patch.setattr("sms_rpc.storage.insert_tasks", away)
        (answer,) = await mesh.sending.send_all([send_request(request)])
    assert isinstance(answer, DomainError)
    assert answer.reason == "DATABASE_UNAVAILABLE"
    (_, stale) = await mesh.spent_and_frozen()
    if change == "unblock":
        await unblock(mesh, phone(1))
    else:
        await block(mesh, phone(2))
    first = await mesh.sms_peer.call(mesh.sms.SendSms, request)
    assert first.frozen == {"block": 2, "unblock": 3, "block another": 1}[change]
    assert await mesh.sms_peer.call(mesh.sms.SendSms, request) == first
    assert await mesh.spent_and_frozen() == (0, stale + first.frozen)
    assert await counts(mesh) == (1, 3, 1)
    # What the first attempt froze comes back by itself, as does all that nobody pays.
    mesh.clock.pass_ms(26 * HOUR_MS)
    await mesh.apply_jobs()
    assert await mesh.spent_and_frozen() == (0, 0)
    await mesh.is_sound()


async def test_the_same_number_of_blocked_recipients_is_the_same_freeze(
    mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    await block(mesh, phone(1))
    request = mesh.request(phone(1), phone(2), phone(3))
    with monkeypatch.context() as patch:
        patch.setattr("sms_rpc.storage.insert_tasks", away)
        await mesh.sending.send_all([send_request(request)])
    await unblock(mesh, phone(1))
    await block(mesh, phone(2))
    assert (await mesh.sms_peer.call(mesh.sms.SendSms, request)).frozen == 2
    assert await mesh.spent_and_frozen() == (0, 2)


@pytest.mark.parametrize("is_same", [True, False], ids=["same body", "another body"])
async def test_who_loses_to_an_attempt_with_other_blocked_recipients_releases_its_own_freeze(
    mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch, *, is_same: bool
) -> None:
    request = mesh.request(phone(1), phone(2), phone(3), request_id="crossed")
    winner = mesh.request(phone(1), phone(2), *[phone(3)] * is_same, request_id="crossed")
    answers: list[Any] = []
    async with AsyncExitStack() as stack:
        another = await build(mesh.database, mesh.bus, mesh.center_peer, stack)
        store = mesh.sending._store_together

        async def store_late(plans: Sequence[Plan]) -> None:
            if not answers:
                await block(mesh, phone(1))
                answers.extend(await another.sending.send_all([send_request(winner)]))
            await store(plans)

        monkeypatch.setattr(mesh.sending, "_store_together", store_late)
        (answer,) = await mesh.sending.send_all([send_request(request)])
    if is_same:
        assert answer == answers[0]
    else:
        assert isinstance(answer, DomainError)
        assert answer.reason == "KEY_REUSED"
    assert len(await mesh.rows(tables.task)) == 1
    await mesh.apply_jobs()
    assert await mesh.spent_and_frozen() == (0, answers[0].task.frozen)
    await mesh.is_sound()


async def test_a_freeze_that_cannot_be_released_takes_nobodys_answer(
    mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = send_request(mesh.request(phone(1), phone(2)))
    async with AsyncExitStack() as stack:
        another = await build(mesh.database, mesh.bus, mesh.center_peer, stack)
        store = mesh.sending._store_together

        async def store_late(plans: Sequence[Plan]) -> None:
            await block(mesh, phone(1))
            await another.sending.send_all([request])
            mesh.faults.refuse("BatchSmsReleaseFreezeNum", grpc.StatusCode.ABORTED)
            await store(plans)

        monkeypatch.setattr(mesh.sending, "_store_together", store_late)
        (answer,) = await mesh.sending.send_all([request])
    assert isinstance(answer, Accepted)
    assert answer.task.blocked_count == 1
    assert await mesh.spent_and_frozen() == (0, 3)


async def test_no_request_id_has_the_freeze_of_another_with_blocked_recipients(mesh: SmsMesh) -> None:
    await block(mesh, phone(1))
    await mesh.send(phone(1), phone(2), request_id="a")
    others = ["a/1", "1/a", "-1/a"]
    for request_id in others:
        await mesh.send(phone(2), request_id=request_id)
    assert await mesh.spent_and_frozen() == (0, 1 + len(others))


async def test_the_longest_request_id_with_blocked_recipients_makes_an_id_that_the_cost_center_takes(
    mesh: SmsMesh,
) -> None:
    await block(mesh, phone(1))
    sent = await mesh.send(phone(1), phone(2), request_id="x" * 96, content="x" * 400)
    (task,) = await mesh.rows(tables.task)
    assert task["freeze_request_id"] == f"sms-{sent.frozen}/{'x' * 96}"


async def block(mesh: SmsMesh, number: str) -> None:
    await mesh.sms_peer.call(mesh.sms.BlockPhone, pb.BlockPhoneRequest(brand_id=BRAND, phone=number))


async def unblock(mesh: SmsMesh, number: str) -> None:
    await mesh.sms_peer.call(mesh.sms.UnblockPhone, pb.UnblockPhoneRequest(brand_id=BRAND, phone=number))


async def away(*_: object) -> None:
    raise DomainError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "away")
