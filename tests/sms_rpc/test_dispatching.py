"""What consumers do with dispatches, each late, repeated and contradicting word one by one."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.timestamps import to_ms, to_timestamp
from sms_rpc import tables
from sms_rpc.dispatching import Submission
from sms_rpc.domain import Outcome
from tests.sms_rpc.consumer import LEASE_SECONDS, PAYMENT_ID, PROVIDER_MESSAGE_ID, Consumer
from tests.sms_rpc.harness import HOUR_MS, Rows, SmsMesh, e164, ids_of, phone, refused

RETRY, REJECTED, UNKNOWN = pb.DISPATCH_OUTCOME_RETRY, pb.DISPATCH_OUTCOME_REJECTED, pb.DISPATCH_OUTCOME_UNKNOWN
SUBMITTED, UNPAID = pb.DISPATCH_OUTCOME_SUBMITTED, pb.DISPATCH_OUTCOME_UNPAID
WITHDRAWN = pb.DISPATCH_OUTCOME_WITHDRAWN
REPORTED = [SUBMITTED, REJECTED, UNKNOWN, RETRY, UNPAID, WITHDRAWN]


@pytest.fixture
def first(mesh: SmsMesh) -> Consumer:
    return Consumer(mesh, "first-consumer")


@pytest.fixture
def second(mesh: SmsMesh) -> Consumer:
    return Consumer(mesh, "second-consumer")


async def snapshot(mesh: SmsMesh) -> Sequence[Rows]:
    return [await mesh.rows(tables.dispatch), await mesh.rows(tables.record)]


async def status(mesh: SmsMesh, message_id: int) -> str:
    return pb.SmsStatus.Name((await mesh.get(message_id)).sms.status).removeprefix("SMS_STATUS_")


# Claims.


async def test_a_claim_has_all_that_a_consumer_needs(mesh: SmsMesh, first: Consumer) -> None:
    message_ids = ids_of(await mesh.send(phone(1), phone(2), content="x" * 80, request_id="abc"))
    (dispatch,) = await first.claim(message_ids[0])
    assert to_ms(dispatch.expire_time) == mesh.clock.now_ms + 24 * HOUR_MS
    assert dispatch == pb.Dispatch(
        dispatch_id=message_ids[0],
        brand_id=7,
        type=pb.SMS_TYPE_NOTIFICATION,
        mode=pb.SMS_MODE_BATCH,
        stage=pb.DISPATCH_STAGE_SEND,
        content="x" * 80,
        signature="Blue Bay",
        freeze_id="7-2",
        freeze_request_id="sms/abc",
        recipients=[
            pb.DispatchRecipient(message_id=message_ids[0], phone=e164(1), segments=2),
            pb.DispatchRecipient(message_id=message_ids[1], phone=e164(2), segments=2),
        ],
        expire_time=dispatch.expire_time,
    )


async def test_a_variable_send_is_claimed_with_its_places_and_values(mesh: SmsMesh, first: Consumer) -> None:
    sent = await mesh.send_variable((phone(1), ["Lin", "7"]), (phone(2), ["Ma", '"8"\n']))
    (dispatch,) = await first.claim(ids_of(sent)[0])
    assert (dispatch.variable, dispatch.content) == (True, "Dear {$var}, table {$var} is ready")
    assert [list(one.params) for one in dispatch.recipients] == [["Lin", "7"], ["Ma", '"8"\n']]


async def test_a_held_dispatch_is_nobody_elses_nor_claimed_twice_by_its_holder(
    mesh: SmsMesh, first: Consumer, second: Consumer
) -> None:
    dispatch_id = await first.claimed()
    before = await snapshot(mesh)
    assert await second.claim(dispatch_id) == []
    assert await first.claim(dispatch_id) == []
    mesh.clock.pass_seconds(LEASE_SECONDS - 1)
    assert await second.claim(dispatch_id) == []
    assert await snapshot(mesh) == before


async def test_an_expired_claim_is_another_consumers_and_its_first_holder_may_do_nothing(
    mesh: SmsMesh, first: Consumer, second: Consumer
) -> None:
    dispatch_id = await first.claimed()
    mesh.clock.pass_seconds(LEASE_SECONDS)
    assert [one.dispatch_id for one in await second.claim(dispatch_id)] == [dispatch_id]
    before = await snapshot(mesh)
    assert await first.charge(dispatch_id) == []
    for outcome in REPORTED:
        await first.record(dispatch_id, outcome, "REASON")
    assert await snapshot(mesh) == before
    assert await second.charge(dispatch_id) == [dispatch_id]


async def test_a_dispatch_that_was_held_in_vain_says_so(mesh: SmsMesh, first: Consumer, second: Consumer) -> None:
    dispatch_id = await first.claimed()
    mesh.clock.pass_seconds(LEASE_SECONDS)
    assert [one.attempt for one in await second.claim(dispatch_id)] == [1]
    mesh.clock.pass_seconds(LEASE_SECONDS)
    await mesh.sweeping.sweep(10)
    assert [one.attempt for one in await first.claim(dispatch_id)] == [2]


async def test_what_nobody_claimed_cannot_be_charged_recorded_or_finished(mesh: SmsMesh, first: Consumer) -> None:
    (dispatch_id,) = ids_of(await mesh.send())
    before = await snapshot(mesh)
    assert await first.charge(dispatch_id) == []
    for outcome in set(Outcome) - {Outcome.LOST}:
        for name in ("", first.name):
            await mesh.dispatching.record_submissions([Submission(dispatch_id, outcome, "", "R", "", 1)], name)
    await first.finish(dispatch_id)
    assert await snapshot(mesh) == before


async def test_a_claim_leaves_out_what_is_unknown_under_way_or_done(
    mesh: SmsMesh, first: Consumer, second: Consumer
) -> None:
    (waiting,) = ids_of(await mesh.send())
    rejected = await first.charged()
    await first.record(rejected, REJECTED, "SENSITIVE_WORD")
    await first.finish(rejected)
    awaiting = await first.submitted()
    await first.finish(awaiting)
    unknown, submitting = await first.unknown(), await first.charged()
    mesh.clock.pass_seconds(10 * LEASE_SECONDS)
    named = [1, -1, 0, (1 << 63) - 1, waiting, rejected, awaiting, unknown, submitting]
    assert [one.dispatch_id for one in await second.claim(*named)] == [waiting]
    assert rejected not in await mesh.states()


async def test_a_dispatch_is_claimed_once_however_often_it_is_named(mesh: SmsMesh, first: Consumer) -> None:
    (dispatch_id,) = ids_of(await mesh.send())
    assert len(await first.claim(*[dispatch_id] * 3)) == 1


async def test_messages_of_another_position_in_a_dispatch_are_no_dispatch(mesh: SmsMesh, first: Consumer) -> None:
    message_ids = ids_of(await mesh.send(phone(1), phone(2)))
    assert await first.claim(message_ids[1]) == []


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("dispatch_ids", pb.ClaimDispatchesRequest(consumer="c", lease_seconds=30)),
        ("dispatch_ids", pb.ClaimDispatchesRequest(dispatch_ids=range(1001), consumer="c", lease_seconds=30)),
        ("consumer", pb.ClaimDispatchesRequest(dispatch_ids=[1], lease_seconds=30)),
        ("consumer", pb.ClaimDispatchesRequest(dispatch_ids=[1], consumer="c" * 65, lease_seconds=30)),
        ("lease_seconds", pb.ClaimDispatchesRequest(dispatch_ids=[1], consumer="c", lease_seconds=4)),
        ("lease_seconds", pb.ClaimDispatchesRequest(dispatch_ids=[1], consumer="c", lease_seconds=3601)),
    ],
)
async def test_a_claim_is_bounded(mesh: SmsMesh, field: str, request_: pb.ClaimDispatchesRequest) -> None:
    with refused("INVALID_REQUEST", field):
        await mesh.sms_peer.call(mesh.dispatches.ClaimDispatches, request_)


async def test_a_scheduled_message_that_is_claimed_when_it_is_due_is_on_its_way(mesh: SmsMesh, first: Consumer) -> None:
    schedule_at_ms = mesh.clock.now_ms + HOUR_MS
    (message_id,) = ids_of(await mesh.send(schedule_time=to_timestamp(schedule_at_ms)))
    assert await first.claim(message_id) == []
    mesh.clock.pass_ms(HOUR_MS)
    (dispatch,) = await first.claim(message_id)
    assert [one.message_id for one in dispatch.recipients] == [message_id]
    with refused("SMS_NOT_CANCELLABLE"):
        request = pb.CancelSmsRequest(brand_id=7, message_id=str(message_id))
        await mesh.sms_peer.call(mesh.sms.CancelSms, request)
    assert await first.charge(message_id) == [message_id]
    await first.record(message_id, SUBMITTED)
    assert await status(mesh, message_id) == "SUBMITTED"


# Charges.


async def test_a_charge_is_noted_on_the_message_and_holds_the_dispatch_longer(
    mesh: SmsMesh, first: Consumer, second: Consumer
) -> None:
    dispatch_id = await first.claimed(phone(1), phone(2))
    mesh.clock.pass_seconds(LEASE_SECONDS - 1)
    assert await first.charge(dispatch_id) == [dispatch_id]
    assert {row["payment_id"] for row in await mesh.rows(tables.record)} == {PAYMENT_ID}
    mesh.clock.pass_seconds(LEASE_SECONDS - 1)
    assert (await mesh.sweeping.sweep(10)).unknown == 0
    assert await second.claim(dispatch_id) == []


async def test_a_late_charge_is_still_its_holders_while_nobody_took_over(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.claimed()
    mesh.clock.pass_seconds(LEASE_SECONDS + 1)
    assert await first.charge(dispatch_id) == [dispatch_id]


async def test_a_charge_after_the_sweep_took_the_dispatch_back_may_not_submit(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.claimed()
    mesh.clock.pass_seconds(LEASE_SECONDS + 1)
    await mesh.sweeping.sweep(10)
    assert await first.charge(dispatch_id) == []
    assert await mesh.statuses() == ["QUEUED"]


async def test_a_charge_whose_answer_was_lost_may_submit_when_it_is_repeated(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.claimed()
    mesh.faults.lose_answer("RecordCharges", grpc.StatusCode.UNAVAILABLE)
    assert await first.charge(dispatch_id) == [dispatch_id]
    assert await mesh.statuses() == ["CHARGED"]


async def test_a_charge_by_another_changes_nothing(mesh: SmsMesh, first: Consumer, second: Consumer) -> None:
    dispatch_id = await first.charged()
    before = await snapshot(mesh)
    assert await second.charge(dispatch_id, payment_id="7-99") == []
    assert await snapshot(mesh) == before


# Outcomes.


async def test_a_submission_keeps_the_providers_id_and_waits_for_receipts(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.submitted()
    assert await mesh.states() == {dispatch_id: "REPORTING"}
    sms = (await mesh.get(dispatch_id)).sms
    assert (sms.status, sms.provider_message_id) == (pb.SMS_STATUS_SUBMITTED, PROVIDER_MESSAGE_ID)
    await first.finish(dispatch_id)
    assert await mesh.states() == {dispatch_id: "AWAITING"}


@pytest.mark.parametrize("later", REPORTED)
async def test_the_first_outcome_stands(mesh: SmsMesh, first: Consumer, later: pb.DispatchOutcome.ValueType) -> None:
    dispatch_id = await first.submitted()
    before = await snapshot(mesh)
    await first.record(dispatch_id, later, "LATER")
    assert await snapshot(mesh) == before
    await first.finish(dispatch_id)
    finished = await snapshot(mesh)
    await first.record(dispatch_id, later, "LATER")
    await first.finish(dispatch_id)
    assert await snapshot(mesh) == finished


async def test_a_rejection_fails_the_message_for_the_providers_reason(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.charged()
    await first.record(dispatch_id, REJECTED, "SENSITIVE_WORD")
    sms = (await mesh.get(dispatch_id)).sms
    assert (sms.status, sms.failure_reason) == (pb.SMS_STATUS_FAILED, "SENSITIVE_WORD")
    await first.finish(dispatch_id)
    assert await mesh.states() == {}


@pytest.mark.parametrize("outcome", [UNPAID, WITHDRAWN])
async def test_what_is_not_paid_fails_and_is_told_to_the_cost_center_before_it_is_forgotten(
    mesh: SmsMesh, first: Consumer, second: Consumer, outcome: pb.DispatchOutcome.ValueType
) -> None:
    dispatch_id = await first.claimed()
    await first.record(dispatch_id, outcome, "REASON")
    assert await mesh.states() == {dispatch_id: "REPORTING"}
    assert await mesh.statuses() == ["FAILED"]
    mesh.clock.pass_seconds(LEASE_SECONDS)
    (dispatch,) = await second.claim(dispatch_id)
    assert (dispatch.stage, dispatch.outcome) == (pb.DISPATCH_STAGE_REPORT, outcome)
    assert [one.message_id for one in dispatch.recipients] == [dispatch_id]
    await second.finish(dispatch_id)
    assert await mesh.states() == {}


async def test_an_unknown_outcome_is_never_submitted_again(mesh: SmsMesh, first: Consumer, second: Consumer) -> None:
    dispatch_id = await first.unknown()
    assert await mesh.states() == {dispatch_id: "AWAITING"}
    before = await snapshot(mesh)
    for consumer in (first, second):
        assert await consumer.claim(dispatch_id) == []
        assert await consumer.charge(dispatch_id) == []
    for outcome in REPORTED:
        await first.record(dispatch_id, outcome, "LATER")
    await first.finish(dispatch_id)
    mesh.clock.pass_ms(71 * HOUR_MS)
    await mesh.sweeping.sweep(10)
    assert await snapshot(mesh) == before
    assert await mesh.statuses() == ["UNKNOWN"]


async def test_a_retry_waits_its_time_and_is_paid_already(mesh: SmsMesh, first: Consumer, second: Consumer) -> None:
    dispatch_id = await first.charged()
    await first.record(dispatch_id, RETRY, "PROVIDER_BUSY", retry_after_seconds=60)
    assert await mesh.states() == {dispatch_id: "WAITING"}
    assert await mesh.statuses() == ["CHARGED"]
    mesh.clock.pass_seconds(59)
    await mesh.sweeping.sweep(10)
    assert await second.claim(dispatch_id) == []
    mesh.clock.pass_seconds(1)
    (dispatch,) = await second.claim(dispatch_id)
    assert (dispatch.payment_id, dispatch.attempt, dispatch.stage) == (PAYMENT_ID, 1, pb.DISPATCH_STAGE_SEND)
    assert await first.charge(dispatch_id) == []
    assert await second.charge(dispatch_id) == [dispatch_id]
    await second.record(dispatch_id, SUBMITTED)
    assert await status(mesh, dispatch_id) == "SUBMITTED"


async def test_a_retry_before_the_payment_has_none(first: Consumer) -> None:
    dispatch_id = await first.claimed()
    await first.record(dispatch_id, RETRY, "PROVIDER_CIRCUIT_OPEN")
    (dispatch,) = await first.claim(dispatch_id)
    assert (dispatch.payment_id, dispatch.attempt) == ("", 1)


async def test_a_retry_names_only_what_no_receipt_has_settled(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.charged(phone(1), phone(2))
    receipt = pb.SmsReceipt(dispatch_id=dispatch_id, phone=e164(1), verdict=pb.RECEIPT_VERDICT_DELIVERED)
    await mesh.sms_peer.call(mesh.dispatches.RecordReceipts, pb.RecordReceiptsRequest(receipts=[receipt]))
    await first.record(dispatch_id, RETRY, "PROVIDER_BUSY")
    (dispatch,) = await first.claim(dispatch_id)
    assert [one.phone for one in dispatch.recipients] == [e164(2)]


async def test_a_dispatch_of_which_nothing_is_left_to_send_is_done(mesh: SmsMesh, first: Consumer) -> None:
    schedule_time = to_timestamp(mesh.clock.now_ms + HOUR_MS)
    sent = await mesh.send(phone(1), phone(2), schedule_time=schedule_time)
    request = pb.CancelSmsTaskRequest(brand_id=7, task_id=sent.task_id)
    await mesh.sms_peer.call(mesh.sms.CancelSmsTask, request)
    mesh.clock.pass_ms(HOUR_MS)
    assert await first.claim(int(sent.task_id)) == []
    assert await mesh.states() == {}
    assert await mesh.statuses() == ["CANCELLED", "CANCELLED"]


async def test_a_batch_of_outcomes_is_recorded_each_as_it_is(mesh: SmsMesh, first: Consumer) -> None:
    ids = [await first.charged() for _ in range(3)]
    outcomes = [SUBMITTED, REJECTED, UNKNOWN]
    submissions = [
        pb.DispatchSubmission(dispatch_id=one, outcome=outcome, reason="R")
        for one, outcome in zip(ids, outcomes, strict=True)
    ]
    request = pb.RecordSubmissionsRequest(consumer=first.name, submissions=submissions)
    await mesh.sms_peer.call(mesh.dispatches.RecordSubmissions, request)
    assert await mesh.statuses(*ids) == ["SUBMITTED", "FAILED", "UNKNOWN"]


async def test_a_report_that_was_not_made_is_anothers_once_the_lease_is_over(
    mesh: SmsMesh, first: Consumer, second: Consumer
) -> None:
    dispatch_id = await first.submitted()
    assert await second.claim(dispatch_id) == []
    mesh.clock.pass_seconds(LEASE_SECONDS)
    (dispatch,) = await second.claim(dispatch_id)
    assert (dispatch.stage, dispatch.outcome) == (pb.DISPATCH_STAGE_REPORT, SUBMITTED)
    assert dispatch.payment_id == PAYMENT_ID
