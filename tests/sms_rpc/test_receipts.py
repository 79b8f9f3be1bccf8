"""Receipts: before their submission, after it, twice, out of order, contradicting, late, or for nothing we know."""

from __future__ import annotations

import pytest

from brandmesh.sms.v1 import sms_pb2 as pb
from sms_rpc import tables
from tests.sms_rpc.consumer import PAYMENT_ID, PROVIDER_MESSAGE_ID, Consumer
from tests.sms_rpc.harness import BRAND, HOUR_MS, OTHER_BRAND, SmsMesh, e164, ids_of, phone

DELIVERED = pb.RECEIPT_VERDICT_DELIVERED
UNDELIVERED = pb.RECEIPT_VERDICT_UNDELIVERED
PENDING = pb.RECEIPT_VERDICT_PENDING
NOTHING = pb.RecordedReceipt()


@pytest.fixture
def consumer(mesh: SmsMesh) -> Consumer:
    return Consumer(mesh)


def receipt(
    dispatch_id: int, verdict: pb.ReceiptVerdict.ValueType, number: int = 1, code: str = "CODE"
) -> pb.SmsReceipt:
    return pb.SmsReceipt(dispatch_id=dispatch_id, phone=e164(number), verdict=verdict, provider_code=code)


async def record(mesh: SmsMesh, *receipts: pb.SmsReceipt) -> list[pb.RecordedReceipt]:
    request = pb.RecordReceiptsRequest(receipts=receipts)
    return list((await mesh.sms_peer.call(mesh.dispatches.RecordReceipts, request)).receipts)


def settled(message_id: int, *, delivered: bool, segments: int = 1) -> pb.RecordedReceipt:
    return pb.RecordedReceipt(
        settled=True,
        brand_id=BRAND,
        message_id=message_id,
        payment_id=PAYMENT_ID,
        segments=segments,
        delivered=delivered,
    )


def only_known(message_id: int, *, delivered: bool, segments: int = 1) -> pb.RecordedReceipt:
    """What a receipt answers that changed nothing, though it names a paid message."""
    known = settled(message_id, delivered=delivered, segments=segments)
    known.settled = False
    return known


async def test_a_delivery_settles_the_message(mesh: SmsMesh, consumer: Consumer) -> None:
    message_id = await consumer.submitted()
    mesh.clock.pass_seconds(5)
    assert await record(mesh, receipt(message_id, DELIVERED, code="DELIVRD")) == [settled(message_id, delivered=True)]
    got = await mesh.get(message_id)
    assert (got.sms.status, got.sms.provider_code, got.sms.failure_reason) == (pb.SMS_STATUS_DELIVERED, "DELIVRD", "")
    steps = [pb.SmsStatus.Name(event.status).removeprefix("SMS_STATUS_") for event in got.timeline]
    assert steps == ["ACCEPTED", "QUEUED", "CHARGED", "SUBMITTED", "DELIVERED"]
    assert got.timeline[-1].time.ToMilliseconds() == mesh.clock.now_ms


async def test_a_failed_delivery_fails_the_message(mesh: SmsMesh, consumer: Consumer) -> None:
    message_id = await consumer.submitted()
    answer = await record(mesh, receipt(message_id, UNDELIVERED, code="MBBLACK"))
    assert answer == [settled(message_id, delivered=False)]
    sms = (await mesh.get(message_id)).sms
    assert (sms.status, sms.provider_code, sms.failure_reason) == (pb.SMS_STATUS_FAILED, "MBBLACK", "UNDELIVERED")


@pytest.mark.parametrize("verdict", [DELIVERED, UNDELIVERED])
async def test_a_repeated_receipt_answers_the_same_and_changes_nothing(
    mesh: SmsMesh, consumer: Consumer, verdict: pb.ReceiptVerdict.ValueType
) -> None:
    message_id = await consumer.submitted()
    first = await record(mesh, receipt(message_id, verdict))
    rows = await mesh.rows(tables.record)
    mesh.clock.pass_seconds(60)
    assert await record(mesh, receipt(message_id, verdict, code="LATER")) == first
    assert await record(mesh, receipt(message_id, verdict), receipt(message_id, verdict)) == first * 2
    assert await mesh.rows(tables.record) == rows


@pytest.mark.parametrize(("first", "second"), [(DELIVERED, UNDELIVERED), (UNDELIVERED, DELIVERED)])
async def test_of_two_contradicting_receipts_the_first_stands(
    mesh: SmsMesh,
    consumer: Consumer,
    first: pb.ReceiptVerdict.ValueType,
    second: pb.ReceiptVerdict.ValueType,
) -> None:
    message_id = await consumer.submitted()
    await record(mesh, receipt(message_id, first))
    rows = await mesh.rows(tables.record)
    answer = await record(mesh, receipt(message_id, second))
    assert answer == [only_known(message_id, delivered=second == DELIVERED)]
    assert await mesh.rows(tables.record) == rows


@pytest.mark.parametrize(("first", "second"), [(DELIVERED, UNDELIVERED), (UNDELIVERED, DELIVERED)])
async def test_of_two_contradicting_receipts_in_one_call_the_first_stands(
    mesh: SmsMesh,
    consumer: Consumer,
    first: pb.ReceiptVerdict.ValueType,
    second: pb.ReceiptVerdict.ValueType,
) -> None:
    message_id = await consumer.submitted()
    answers = await record(mesh, receipt(message_id, first, code="FIRST"), receipt(message_id, second, code="SECOND"))
    assert [answer.settled for answer in answers] == [True, False]
    sms = (await mesh.get(message_id)).sms
    assert sms.status == (pb.SMS_STATUS_DELIVERED if first == DELIVERED else pb.SMS_STATUS_FAILED)
    assert sms.provider_code == "FIRST"


async def test_a_pending_receipt_says_nothing_yet(mesh: SmsMesh, consumer: Consumer) -> None:
    message_id = await consumer.submitted()
    rows = await mesh.rows(tables.record)
    assert await record(mesh, receipt(message_id, PENDING)) == [only_known(message_id, delivered=False)]
    assert await mesh.rows(tables.record) == rows
    assert await record(mesh, receipt(message_id, DELIVERED)) == [settled(message_id, delivered=True)]
    assert await record(mesh, receipt(message_id, PENDING)) == [only_known(message_id, delivered=False)]


@pytest.mark.parametrize(("verdict", "status"), [(DELIVERED, "DELIVERED"), (UNDELIVERED, "FAILED")])
async def test_a_receipt_may_come_before_its_submission_is_recorded(
    mesh: SmsMesh, consumer: Consumer, verdict: pb.ReceiptVerdict.ValueType, status: str
) -> None:
    message_id = await consumer.charged()
    mesh.clock.pass_seconds(1)
    delivered = verdict == DELIVERED
    assert await record(mesh, receipt(message_id, verdict)) == [settled(message_id, delivered=delivered)]
    mesh.clock.pass_seconds(1)
    await consumer.record(message_id, pb.DISPATCH_OUTCOME_SUBMITTED)
    assert await mesh.statuses() == [status]
    got = await mesh.get(message_id)
    assert got.sms.provider_message_id == PROVIDER_MESSAGE_ID
    steps = [pb.SmsStatus.Name(event.status).removeprefix("SMS_STATUS_") for event in got.timeline]
    assert steps == ["ACCEPTED", "QUEUED", "CHARGED", "SUBMITTED", status]


@pytest.mark.parametrize(
    "outcome", [pb.DISPATCH_OUTCOME_UNKNOWN, pb.DISPATCH_OUTCOME_REJECTED, pb.DISPATCH_OUTCOME_RETRY]
)
async def test_a_receipt_before_any_other_outcome_stands(
    mesh: SmsMesh, consumer: Consumer, outcome: pb.DispatchOutcome.ValueType
) -> None:
    message_id = await consumer.charged()
    await record(mesh, receipt(message_id, DELIVERED))
    await consumer.record(message_id, outcome, "REASON")
    sms = (await mesh.get(message_id)).sms
    assert (sms.status, sms.failure_reason) == (pb.SMS_STATUS_DELIVERED, "")


@pytest.mark.parametrize(("verdict", "status"), [(DELIVERED, "DELIVERED"), (UNDELIVERED, "FAILED")])
async def test_a_receipt_settles_an_unknown_outcome(
    mesh: SmsMesh, consumer: Consumer, verdict: pb.ReceiptVerdict.ValueType, status: str
) -> None:
    message_id = await consumer.unknown()
    delivered = verdict == DELIVERED
    assert await record(mesh, receipt(message_id, verdict)) == [settled(message_id, delivered=delivered)]
    assert await mesh.statuses() == [status]
    assert (await mesh.get(message_id)).sms.failure_reason == ("" if delivered else "UNDELIVERED")


async def test_a_receipt_for_what_is_not_paid_has_to_come_again(mesh: SmsMesh, consumer: Consumer) -> None:
    (message_id,) = ids_of(await mesh.send(phone(1)))
    rows = await mesh.rows(tables.record)
    (answer,) = await record(mesh, receipt(message_id, DELIVERED))
    assert (answer.retry, answer.settled) == (True, False)
    assert await mesh.rows(tables.record) == rows
    await consumer.claim(message_id)
    await consumer.charge(message_id)
    assert await record(mesh, receipt(message_id, DELIVERED)) == [settled(message_id, delivered=True)]


async def test_a_receipt_for_what_was_never_paid_changes_nothing(mesh: SmsMesh, consumer: Consumer) -> None:
    message_id = await consumer.claimed()
    await consumer.record(message_id, pb.DISPATCH_OUTCOME_UNPAID, "INSUFFICIENT_CREDIT")
    rows = await mesh.rows(tables.record)
    for verdict in (DELIVERED, UNDELIVERED):
        (answer,) = await record(mesh, receipt(message_id, verdict))
        assert (answer.retry, answer.settled, answer.payment_id) == (False, False, "")
    assert await mesh.rows(tables.record) == rows


async def test_a_receipt_after_a_rejection_reports_no_delivery(mesh: SmsMesh, consumer: Consumer) -> None:
    message_id = await consumer.charged()
    await consumer.record(message_id, pb.DISPATCH_OUTCOME_REJECTED, "SENSITIVE_WORD")
    assert await record(mesh, receipt(message_id, DELIVERED)) == [only_known(message_id, delivered=True)]
    assert (await mesh.get(message_id)).sms.failure_reason == "SENSITIVE_WORD"


async def test_a_receipt_after_its_time_changes_nothing(mesh: SmsMesh, consumer: Consumer) -> None:
    message_id = await consumer.submitted()
    await consumer.finish(message_id)
    mesh.clock.pass_ms(72 * HOUR_MS)
    await mesh.sweeping.sweep(10)
    assert await mesh.statuses() == ["UNCONFIRMED"]
    for verdict in (DELIVERED, UNDELIVERED):
        assert await record(mesh, receipt(message_id, verdict)) == [
            only_known(message_id, delivered=verdict == DELIVERED)
        ]
    assert await mesh.statuses() == ["UNCONFIRMED"]


async def test_receipts_for_nothing_are_answered_so(mesh: SmsMesh, consumer: Consumer) -> None:
    first = await consumer.submitted(phone(1), phone(2))
    second = await consumer.submitted(phone(3))
    unknown_phones = [receipt(first, DELIVERED, 3), receipt(second, DELIVERED, 1), receipt(first, DELIVERED, 9)]
    position = receipt(first + 1, DELIVERED, 1)
    nothing = [receipt(1, DELIVERED), receipt((1 << 63) - 1, DELIVERED), position, *unknown_phones]
    assert await record(mesh, *nothing) == [NOTHING] * len(nothing)
    assert set(await mesh.statuses()) == {"SUBMITTED"}


async def test_a_receipt_finds_its_message_in_its_own_dispatch_alone(mesh: SmsMesh, consumer: Consumer) -> None:
    await mesh.open_brand(OTHER_BRAND, international=True)
    abroad = "+12015550123"
    sent = await mesh.send(phone(1), abroad, brand_id=OTHER_BRAND)
    mainland_id, abroad_id = ids_of(sent)
    for dispatch_id in (mainland_id, abroad_id):
        await consumer.claim(dispatch_id)
        await consumer.charge(dispatch_id)
        await consumer.record(dispatch_id, pb.DISPATCH_OUTCOME_SUBMITTED)
    wrong = pb.SmsReceipt(dispatch_id=abroad_id, phone=e164(1), verdict=DELIVERED)
    assert await record(mesh, wrong) == [NOTHING]
    right = pb.SmsReceipt(dispatch_id=abroad_id, phone=abroad, verdict=DELIVERED)
    (answer,) = await record(mesh, right)
    assert (answer.settled, answer.message_id, answer.brand_id) == (True, abroad_id, OTHER_BRAND)


async def test_receipts_of_one_batch_are_found_by_phone_in_any_order(mesh: SmsMesh, consumer: Consumer) -> None:
    count = 600
    dispatch_id = await consumer.submitted(*map(phone, range(count)))
    receipts = [receipt(dispatch_id, DELIVERED if n % 3 else UNDELIVERED, n) for n in reversed(range(count))]
    answers = await record(mesh, *receipts)
    assert [answer.message_id for answer in answers] == [dispatch_id + n for n in reversed(range(count))]
    assert all(answer.settled for answer in answers)
    assert await mesh.statuses() == ["DELIVERED" if n % 3 else "FAILED" for n in range(count)]
