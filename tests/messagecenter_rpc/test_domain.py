"""The words against the contract, and every pair of a status and an event against the table."""

from __future__ import annotations

from enum import IntEnum

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from brandmesh.messagecenter.v1 import im_call_pb2
from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from brandmesh.txim.v1 import txim_pb2
from messagecenter_rpc import storage
from messagecenter_rpc.clients import OnlineState
from messagecenter_rpc.domain import (
    RULES,
    TRANSITIONS,
    VERDICTS,
    Channel,
    Event,
    MsgType,
    Outcome,
    RecordEvent,
    RecordStatus,
    SkipReason,
)
from tests.messagecenter_rpc.harness import MessageCenter

ALLOWED = {
    ("QUEUED", "WITHHOLD"): "ACCEPTED",
    ("ACCEPTED", "PUBLISH"): "QUEUED",
    ("QUEUED", "PUBLISH"): "QUEUED",
    ("SENDING", "PUBLISH"): "QUEUED",
    ("ACCEPTED", "CLAIM"): "SENDING",
    ("QUEUED", "CLAIM"): "SENDING",
    ("SENDING", "CLAIM"): "SENDING",
    ("SENDING", "SEND"): "SENT",
    ("SENDING", "SKIP"): "SKIPPED",
    ("SENDING", "FAIL"): "FAILED",
    ("SENDING", "GIVE_UP"): "UNKNOWN",
    ("SENDING", "RETRY"): "QUEUED",
    ("SENDING", "LOSE"): "QUEUED",
    ("ACCEPTED", "CANCEL"): "CANCELLED",
    ("QUEUED", "CANCEL"): "CANCELLED",
}


@pytest.mark.parametrize(
    ("words", "contract", "prefix"),
    [
        (Event, im_call_pb2.EnumImCallEvent, "ENUM_IM_CALL_EVENT_"),
        (Channel, im_call_pb2.EnumImCallChannel, "ENUM_IM_CALL_CHANNEL_"),
        (MsgType, im_call_pb2.EnumImCallMsgType, "ENUM_IM_CALL_MSG_TYPE_"),
        (SkipReason, im_call_pb2.ImCallSkipReason, "IM_CALL_SKIP_REASON_"),
        (Outcome, pb.ImOutcome, "IM_OUTCOME_"),
        (OnlineState, pb.ImDeviceState, "IM_DEVICE_STATE_"),
        (OnlineState, txim_pb2.OnlineState, "ONLINE_STATE_"),
    ],
)
def test_words_have_the_numbers_of_the_contract(words: type[IntEnum], contract: EnumTypeWrapper, prefix: str) -> None:
    ours = {word.name: word.value for word in words if word.value}
    assert ours == {name.removeprefix(prefix): number for name, number in contract.items() if number}


def test_statuses_have_the_names_of_the_contract() -> None:
    ours = {f"IM_RECORD_STATUS_{status}" for status in RecordStatus}
    assert ours == set(pb.ImRecordStatus.keys()) - {"IM_RECORD_STATUS_UNSPECIFIED"}


def test_every_type_has_a_rule_and_every_outcome_a_verdict() -> None:
    assert set(RULES) == set(MsgType)
    assert set(VERDICTS) == set(Outcome)
    assert set(TRANSITIONS) == set(RecordEvent)


@pytest.mark.parametrize("event", RecordEvent)
async def test_an_event_moves_a_record_where_the_table_says_and_nowhere_else(
    center: MessageCenter, event: RecordEvent
) -> None:
    await center.device()
    for status in RecordStatus:
        (record_id,) = await center.refresh()
        await center.set_record(record_id, status=status.value)
        async with center.database.write() as connection:
            await storage.move(connection, event, [record_id])
        after = {row["record_id"]: row["status"] for row in await center.rows()}[record_id]
        assert after == ALLOWED.get((status.value, event.value), status.value), status


# What each outcome does to a record that is being sent: of one that never was, and of one that may have arrived.
@pytest.mark.parametrize(
    ("outcome", "never_sent", "may_be_sent"),
    [
        (pb.IM_OUTCOME_SENT, "SENT", "SENT"),
        (pb.IM_OUTCOME_SKIPPED, "SKIPPED", "UNKNOWN"),
        (pb.IM_OUTCOME_FAILED, "FAILED", "UNKNOWN"),
        (pb.IM_OUTCOME_RETRY, "QUEUED", "QUEUED"),
        (pb.IM_OUTCOME_UNKNOWN, "QUEUED", "QUEUED"),
    ],
)
async def test_an_outcome_is_told_truly_of_what_may_have_arrived(
    center: MessageCenter, outcome: pb.ImOutcome.ValueType, never_sent: str, may_be_sent: str
) -> None:
    await center.device()
    ids = [*await center.refresh(), *await center.refresh()]
    await center.set_record(ids[1], may_be_sent=True)
    await center.claim(ids)
    await center.outcome(ids, outcome, reason="WHY", detail="what about", text="as sent")
    rows = await center.rows()
    assert [row["status"] for row in rows] == [never_sent, may_be_sent]
    is_terminal = never_sent != "QUEUED"
    for row in rows:
        assert (row["reason"], row["detail"], row["text"], row["consumer"]) == ("WHY", "what about", "as sent", "")
        assert row["ended_at_ms"] == (center.clock.now_ms if is_terminal else 0)
        assert row["attempt"] == (0 if is_terminal else 1)
    is_lost = outcome == pb.IM_OUTCOME_UNKNOWN
    assert [row["may_be_sent"] for row in rows] == [is_lost, True]


@pytest.mark.parametrize("status", [status for status in RecordStatus if status is not RecordStatus.SENDING])
@pytest.mark.parametrize("outcome", Outcome)
async def test_an_outcome_of_a_record_that_is_not_being_sent_changes_nothing(
    center: MessageCenter, status: RecordStatus, outcome: Outcome
) -> None:
    await center.device()
    (record_id,) = await center.refresh()
    await center.set_record(record_id, status=status.value, consumer="first")
    before = await center.rows()
    await center.outcome([record_id], pb.ImOutcome.ValueType(outcome), reason="WHY")
    assert await center.rows() == before
