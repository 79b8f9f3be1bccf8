"""The way of a dispatch for each answer of a provider, and what it costs."""

from __future__ import annotations

import pytest

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.provider.circuit import Trouble
from mesh.timestamps import to_timestamp
from sms_rmq.providers.port import Accepted, Outcome, Rejected, RetryLater, Submission, Unknown, Verdict
from tests.sms_rmq.chain import SUBMIT_SECONDS, Chain, receipt
from tests.sms_rmq.provider import PROVIDER_MESSAGE_ID
from tests.sms_rpc.harness import BRAND, HOUR_MS, OTHER_BRAND, e164, phone

DELIVERED, UNDELIVERED = Verdict.DELIVERED, Verdict.UNDELIVERED
HOUR = 3600
LONG = "x" * 100
"""A text of two segments."""


async def entries(chain: Chain) -> list[str]:
    """Read why the brand's balance changed, in order."""
    request = costcenter_pb2.ListSmsEntriesRequest(brand_id=BRAND)
    answer = await chain.mesh.center_peer.call(chain.mesh.center.ListSmsEntries, request)
    return [costcenter_pb2.SmsEntryKind.Name(one.kind).removeprefix("SMS_ENTRY_KIND_") for one in answer.entries]


# Accepted.


async def test_an_accepted_message_is_paid_once_and_waits_for_its_receipt(chain: Chain) -> None:
    (message_id,) = await chain.send(content=LONG)
    await chain.work()
    sms = (await chain.mesh.get(message_id)).sms
    assert (sms.status, sms.provider_message_id) == (pb.SMS_STATUS_SUBMITTED, PROVIDER_MESSAGE_ID)
    (submission,) = chain.provider.submissions
    assert (submission.dispatch_id, submission.brand_id, submission.sms_type) == (message_id, 7, "notification")
    assert (submission.text, submission.mode, submission.variable) == (f"【Blue Bay】{LONG}", "single", False)
    assert [one.phone_e164 for one in submission.recipients] == [e164(1)]
    await chain.costs(2)
    assert await chain.receive(receipt(message_id, DELIVERED)) == [True]
    assert await chain.mesh.statuses() == ["DELIVERED"]
    assert await entries(chain) == ["GRANT", "FREEZE", "PAY"]
    await chain.ends(2)


async def test_what_is_not_delivered_is_refunded(chain: Chain) -> None:
    (message_id,) = await chain.send(content=LONG)
    await chain.work()
    await chain.receive(receipt(message_id, UNDELIVERED), receipt(message_id, UNDELIVERED))
    await chain.receive(receipt(message_id, UNDELIVERED))
    await chain.costs(0)
    assert await entries(chain) == ["GRANT", "FREEZE", "PAY", "REFUND"]
    await chain.ends(0)


async def test_a_message_without_a_receipt_stays_paid(chain: Chain) -> None:
    await chain.send()
    await chain.work()
    await chain.ends(1)
    assert await chain.mesh.statuses() == ["UNCONFIRMED"]
    assert len(chain.provider.submissions) == 1


@pytest.mark.parametrize(("billed", "spent"), [(0, 2), (1, 1), (2, 2), (3, 3)])
async def test_what_the_provider_billed_is_what_is_paid(chain: Chain, billed: int, spent: int) -> None:
    (message_id,) = await chain.send(content=LONG)
    await chain.work()
    await chain.receive(receipt(message_id, DELIVERED, billed_segments=billed))
    await chain.receive(receipt(message_id, DELIVERED, billed_segments=billed))
    await chain.costs(spent)


async def test_a_batch_is_one_call_and_each_of_its_messages_has_its_receipt(chain: Chain) -> None:
    message_ids = await chain.send(*map(phone, range(4)))
    await chain.work()
    (submission,) = chain.provider.submissions
    assert (submission.mode, chain.provider.phones) == ("batch", [e164(number) for number in range(4)])
    await chain.costs(4)
    await chain.receive(
        receipt(message_ids[0], DELIVERED, 3),
        receipt(message_ids[0], UNDELIVERED, 0),
        receipt(message_ids[0], DELIVERED, 1),
    )
    assert await chain.mesh.statuses() == ["FAILED", "DELIVERED", "SUBMITTED", "DELIVERED"]
    await chain.ends(3)


async def test_a_variable_send_hands_over_its_values(chain: Chain) -> None:
    await chain.mesh.send_variable((phone(1), ["Lin", "7"]), (phone(2), ["Ma", "8"]))
    await chain.work()
    (submission,) = chain.provider.submissions
    assert (submission.variable, submission.text) == (True, "【Blue Bay】Dear {$var}, table {$var} is ready")
    assert [tuple(one.params) for one in submission.recipients] == [("Lin", "7"), ("Ma", "8")]
    await chain.ends(2)


async def test_a_campaign_goes_out_chunk_by_chunk_from_one_freeze(chain: Chain) -> None:
    await chain.send(*map(phone, range(2500)), type=pb.SMS_TYPE_MARKETING)
    await chain.work()
    assert [len(one.recipients) for one in chain.provider.submissions] == [1000, 1000, 500]
    assert chain.provider.phones == [e164(number) for number in range(2500)]
    await chain.costs(2500)
    assert await entries(chain) == ["GRANT", "FREEZE", "PAY", "PAY", "PAY"]


async def test_a_receipt_during_the_submission_is_taken(chain: Chain) -> None:
    (message_id,) = await chain.send()

    async def deliver_first(_: Submission) -> Outcome:
        assert await chain.receive(receipt(message_id, DELIVERED), process=chain.second) == [True]
        return Accepted(PROVIDER_MESSAGE_ID)

    chain.provider.script.append(deliver_first)
    await chain.work()
    got = await chain.mesh.get(message_id)
    assert (got.sms.status, got.sms.provider_message_id) == (pb.SMS_STATUS_DELIVERED, PROVIDER_MESSAGE_ID)
    await chain.ends(1)


# Rejected.


async def test_a_rejected_message_fails_and_is_refunded(chain: Chain) -> None:
    chain.provider.script.append(Rejected("105", "SENSITIVE_WORD"))
    (message_id,) = await chain.send(content=LONG)
    await chain.work()
    sms = (await chain.mesh.get(message_id)).sms
    assert (sms.status, sms.failure_reason, sms.provider_code) == (pb.SMS_STATUS_FAILED, "SENSITIVE_WORD", "105")
    await chain.costs(0)
    assert await entries(chain) == ["GRANT", "FREEZE", "PAY", "REFUND"]
    assert await chain.mesh.states() == {}
    await chain.receive(receipt(message_id, DELIVERED), receipt(message_id, UNDELIVERED))
    await chain.ends(0)


async def test_of_a_campaign_only_the_rejected_chunk_is_refunded(chain: Chain) -> None:
    chain.provider.script.extend([Accepted("1"), Rejected("105", "SENSITIVE_WORD"), Accepted("3")])
    await chain.send(*map(phone, range(2001)))
    await chain.work()
    await chain.costs(1001)
    await chain.ends(1001)


# To be tried again.


async def test_a_busy_provider_is_asked_again_and_the_message_is_paid_once(chain: Chain) -> None:
    chain.provider.script.extend([RetryLater(5, "104", "PROVIDER_BUSY"), RetryLater(5, "103", "PROVIDER_RATE")])
    await chain.send()
    await chain.work()
    assert await chain.mesh.statuses() == ["CHARGED"]
    await chain.costs(1)
    await chain.go_on(1)
    assert len(chain.provider.submissions) == 1, "it was told to wait for five seconds"
    await chain.go_on(200)
    await chain.go_on(200)
    assert len(chain.provider.submissions) == 3
    assert await entries(chain) == ["GRANT", "FREEZE", "PAY"]
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    await chain.ends(1)


async def test_a_code_that_is_no_longer_of_use_is_not_sent_and_refunded(chain: Chain) -> None:
    chain.provider.script.append(RetryLater(5, "104", "PROVIDER_BUSY"))
    (message_id,) = await chain.send(type=pb.SMS_TYPE_VERIFICATION)
    await chain.work()
    await chain.go_on(601)
    sms = (await chain.mesh.get(message_id)).sms
    assert (sms.status, sms.failure_reason) == (pb.SMS_STATUS_FAILED, "EXPIRED")
    assert len(chain.provider.submissions) == 1
    await chain.costs(0)
    await chain.ends(0)


@pytest.mark.parametrize(
    ("type_", "seconds"),
    [
        (pb.SMS_TYPE_VERIFICATION, 600),
        (pb.SMS_TYPE_NOTIFICATION, 24 * HOUR),
        (pb.SMS_TYPE_MARKETING, 72 * HOUR),
    ],
)
async def test_each_type_is_of_use_for_its_time(chain: Chain, type_: pb.SmsType.ValueType, seconds: int) -> None:
    (in_time,) = await chain.send(type=type_)
    chain.mesh.clock.pass_seconds(1)
    await chain.work()
    (late,) = await chain.send(type=type_)
    chain.mesh.clock.pass_seconds(seconds + 1)
    await chain.work()
    assert await chain.mesh.statuses(in_time, late) == ["SUBMITTED", "FAILED"]
    assert len(chain.provider.submissions) == 1
    await chain.costs(1)


async def test_a_scheduled_message_is_of_use_from_its_time_on(chain: Chain) -> None:
    schedule_time = to_timestamp(chain.mesh.clock.now_ms + 10 * 24 * HOUR_MS)
    await chain.send(type=pb.SMS_TYPE_VERIFICATION, schedule_time=schedule_time)
    await chain.go_on(10 * 24 * HOUR)
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    await chain.ends(1)


async def test_a_stale_message_that_nobody_held_is_released_and_never_paid(chain: Chain) -> None:
    await chain.send(content=LONG)
    chain.mesh.clock.pass_seconds(24 * HOUR + 1)
    await chain.work()
    await chain.costs(0)
    assert await entries(chain) == ["GRANT", "FREEZE", "RELEASE"]
    assert chain.provider.submissions == []
    await chain.ends(0)


# Unknown.


async def test_an_unknown_outcome_is_never_sent_again_and_refunded_when_no_receipt_came(chain: Chain) -> None:
    chain.provider.script.append(Unknown("ANSWER_LOST"))
    await chain.send(*map(phone, (1, 2, 3)), content=LONG)
    await chain.work()
    assert await chain.mesh.statuses() == ["UNKNOWN"] * 3
    await chain.costs(6)
    await chain.go_on(71 * HOUR)
    await chain.costs(6)
    await chain.go_on(2 * HOUR)
    await chain.costs(0)
    assert await chain.mesh.statuses() == ["FAILED"] * 3
    assert len(chain.provider.submissions) == 1
    await chain.ends(0)


@pytest.mark.parametrize(("verdict", "spent"), [(DELIVERED, 2), (UNDELIVERED, 0)])
async def test_a_receipt_settles_an_unknown_outcome(chain: Chain, verdict: Verdict, spent: int) -> None:
    chain.provider.script.append(Unknown("ANSWER_LOST", "id-of-half-an-answer"))
    (message_id,) = await chain.send(content=LONG)
    await chain.work()
    await chain.receive(receipt(message_id, verdict))
    await chain.costs(spent)
    await chain.ends(spent)


async def test_of_an_unknown_batch_each_message_is_settled_by_itself(chain: Chain) -> None:
    chain.provider.script.append(Unknown("PARTLY_ACCEPTED", PROVIDER_MESSAGE_ID))
    first, *_ = await chain.send(*map(phone, range(4)))
    await chain.work()
    await chain.receive(receipt(first, DELIVERED, 0), receipt(first, UNDELIVERED, 1))
    await chain.costs(3)
    await chain.ends(1)
    assert await chain.mesh.statuses() == ["DELIVERED", "FAILED", "FAILED", "FAILED"]


async def test_a_late_receipt_does_not_refund_what_was_given_back_before(chain: Chain) -> None:
    chain.provider.script.append(Unknown("ANSWER_LOST"))
    (message_id,) = await chain.send(content=LONG)
    await chain.work()
    await chain.ends(0)
    await chain.receive(receipt(message_id, UNDELIVERED), receipt(message_id, DELIVERED))
    await chain.costs(0)


async def test_an_exception_of_the_provider_is_an_unknown_outcome(chain: Chain) -> None:
    chain.provider.script.append(RuntimeError("a defect"))
    await chain.send()
    await chain.work()
    assert await chain.mesh.statuses() == ["CHARGED"]
    await chain.go_on(SUBMIT_SECONDS)
    assert await chain.mesh.statuses() == ["UNKNOWN"]
    assert len(chain.provider.submissions) == 1
    await chain.ends(0)


# Not paid.


async def test_while_the_circuit_is_open_nothing_is_paid(chain: Chain) -> None:
    chain.provider.script.append(RetryLater(60, "109", "PROVIDER_NO_CREDIT", Trouble.ACCOUNT))
    (first,) = await chain.send(phone(1))
    await chain.work()
    assert not chain.account.circuit.permits()
    (second,) = await chain.send(phone(2))
    await chain.work()
    assert await chain.mesh.statuses(first, second) == ["CHARGED", "QUEUED"]
    await chain.costs(1, 1)
    await chain.go_on(30)
    assert len(chain.provider.submissions) == 1
    await chain.go_on(200)
    await chain.go_on(200)
    assert await chain.mesh.statuses() == ["SUBMITTED", "SUBMITTED"]
    assert len(chain.provider.submissions) == 3
    await chain.ends(2)


async def test_a_message_whose_circuit_never_closes_is_given_back(chain: Chain) -> None:
    chain.provider.script.append(RetryLater(60, "109", "PROVIDER_NO_CREDIT", Trouble.ACCOUNT))
    await chain.send(phone(1), type=pb.SMS_TYPE_VERIFICATION)
    await chain.work()
    await chain.send(phone(2), type=pb.SMS_TYPE_VERIFICATION)
    await chain.work()
    await chain.go_on(601)
    assert await chain.mesh.statuses() == ["FAILED", "FAILED"]
    await chain.costs(0)
    await chain.ends(0)


async def test_what_nobody_carries_fails_and_is_given_back(chain: Chain) -> None:
    await chain.mesh.open_brand(OTHER_BRAND, international=True)
    mainland_id, abroad_id = await chain.send(phone(1), "+12015550123", brand_id=OTHER_BRAND)
    await chain.work()
    assert chain.provider.phones == [e164(1)]
    sms = (await chain.mesh.get(abroad_id, OTHER_BRAND)).sms
    assert (sms.status, sms.failure_reason) == (pb.SMS_STATUS_FAILED, "NO_PROVIDER_ACCOUNT")
    assert await chain.mesh.statuses(mainland_id) == ["SUBMITTED"]
    await chain.apply_jobs()
    assert await chain.mesh.spent_and_frozen(OTHER_BRAND) == (1, 0)


async def test_a_freeze_that_expired_is_paid_from_what_is_available(chain: Chain) -> None:
    await chain.send()
    await chain.expire_freezes()
    await chain.work()
    assert await chain.mesh.statuses() == ["SUBMITTED"]
    assert await entries(chain) == ["GRANT", "FREEZE", "FREEZE_EXPIRE", "PAY_AVAILABLE"]
    await chain.ends(1)


async def test_a_freeze_that_expired_and_cannot_be_paid_sends_nothing(chain: Chain) -> None:
    await chain.mesh.open_brand(OTHER_BRAND, num=2)
    (message_id,) = await chain.send(phone(1), brand_id=OTHER_BRAND)
    await chain.expire_freezes()
    await chain.send(phone(2), brand_id=OTHER_BRAND, content=LONG, type=pb.SMS_TYPE_MARKETING)
    await chain.work()
    sms = (await chain.mesh.get(message_id, OTHER_BRAND)).sms
    assert (sms.status, sms.failure_reason) == (pb.SMS_STATUS_FAILED, "INSUFFICIENT_CREDIT")
    assert chain.provider.phones == [e164(2)]
    await chain.apply_jobs()
    assert await chain.mesh.spent_and_frozen(OTHER_BRAND) == (2, 0)
