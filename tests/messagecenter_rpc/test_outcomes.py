"""What consumers say, and what is tried again."""

from __future__ import annotations

import pytest

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from tests.messagecenter_rpc.harness import MessageCenter

RETRIES = [pb.IM_OUTCOME_RETRY, pb.IM_OUTCOME_UNKNOWN]


@pytest.mark.parametrize("outcome", RETRIES)
async def test_what_is_to_be_tried_again_comes_again_at_its_time(
    center: MessageCenter, outcome: pb.ImOutcome.ValueType
) -> None:
    await center.device()
    ids = await center.refresh()
    assert await center.due_ids() == [ids]
    (first,) = await center.claim(ids)
    await center.outcome(ids, outcome, reason="IM_UNAVAILABLE", detail="60008", retry_after_seconds=10)
    (record,) = (await center.list_records(str(first.call_id))).records
    assert (record.status, record.reason, record.detail) == (pb.IM_RECORD_STATUS_QUEUED, "IM_UNAVAILABLE", "60008")
    assert not record.HasField("end_time")

    # Not before its time, and neither does a duplicate of the first message bring it.
    center.clock.pass_ms(8_999)
    assert await center.claim(ids) == []
    assert await center.due_ids() == []
    center.clock.pass_ms(1_001)
    assert await center.due_ids() == [ids]
    (second,) = await center.claim(ids, "second")
    assert second.recipients[0].attempt == 1
    assert second.recipients[0].may_be_sent is (outcome == pb.IM_OUTCOME_UNKNOWN)
    same = "call_id", "msg_random", "due_time", "expire_time", "repeat_number"
    assert [getattr(first, name) for name in same] == [getattr(second, name) for name in same]


async def test_what_may_have_arrived_once_may_have_arrived_for_good(center: MessageCenter) -> None:
    await center.device()
    ids = await center.refresh()
    for outcome in (pb.IM_OUTCOME_UNKNOWN, pb.IM_OUTCOME_RETRY):
        await center.claim(ids)
        await center.outcome(ids, outcome)
    (delivery,) = await center.claim(ids)
    assert (delivery.recipients[0].may_be_sent, delivery.recipients[0].attempt) == (True, 2)


async def test_records_of_one_content_come_again_in_one_message(center: MessageCenter) -> None:
    for _ in range(120):
        await center.device()
    ids = await center.refresh()
    await center.due_ids()
    await center.claim(ids)
    await center.outcome(ids, pb.IM_OUTCOME_RETRY)
    assert await center.due_ids() == [ids[:100], ids[100:]]


async def test_of_two_outcomes_of_one_record_the_first_stands(center: MessageCenter) -> None:
    for _ in range(2):
        await center.device()
    ids = await center.refresh()
    await center.due_ids()
    await center.claim(ids)
    outcomes = [
        pb.ImRecordOutcome(record_ids=[ids[0], ids[0]], outcome=pb.IM_OUTCOME_SENT),
        pb.ImRecordOutcome(record_ids=ids, outcome=pb.IM_OUTCOME_FAILED),
        pb.ImRecordOutcome(record_ids=ids, outcome=pb.IM_OUTCOME_RETRY),
    ]
    request = pb.RecordImOutcomesRequest(consumer="first", outcomes=outcomes)
    await center.peer.call(center.records.RecordImOutcomes, request)
    assert await center.statuses() == ["SENT", "FAILED"]
    assert await center.due_ids() == [], "neither is tried again"


async def test_outcomes_of_more_records_than_one_transaction_writes(center: MessageCenter) -> None:
    for _ in range(20):
        await center.device()
    ids = await center.refresh()
    await center.claim(ids)
    many = [pb.ImRecordOutcome(record_ids=list(range(1, 1001)), outcome=pb.IM_OUTCOME_SENT) for _ in range(25)]
    outcomes = [*many, pb.ImRecordOutcome(record_ids=ids, outcome=pb.IM_OUTCOME_SENT)]
    request = pb.RecordImOutcomesRequest(consumer="first", outcomes=outcomes)
    await center.peer.call(center.records.RecordImOutcomes, request)
    assert set(await center.statuses()) == {"SENT"}


async def test_an_outcome_is_recorded_though_the_bus_is_away_and_the_sweep_brings_it_again(
    center: MessageCenter,
) -> None:
    await center.device()
    ids = await center.refresh()
    await center.due_ids()
    await center.claim(ids)
    center.bus.is_away = True
    await center.outcome(ids, pb.IM_OUTCOME_RETRY, retry_after_seconds=10)
    assert await center.statuses() == ["ACCEPTED"]
    center.bus.is_away = False
    center.clock.pass_seconds(1)
    assert await center.sweep() == 1
    assert await center.due_ids() == [], "still at its time"
    center.clock.pass_seconds(9)
    assert await center.due_ids() == [ids]
