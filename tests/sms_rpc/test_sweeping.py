"""What a crash, a lost message or a silent carrier left behind is taken up again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.timestamps import to_timestamp
from sms_rpc import tables
from sms_rpc.domain import DispatchState
from sms_rpc.plan import LOST_AFTER_MS
from sms_rpc.sweeping import LOADING_MS_MAX, RECORDS_AT_ONCE, _in_portions
from tests.sms_rpc.consumer import LEASE_SECONDS, Consumer
from tests.sms_rpc.harness import HOUR_MS, SmsMesh, e164, ids_of, phone, refused

QUEUE = "sms.send.7.notification.single"
NOTHING = pb.SweepDispatchesResponse()


@pytest.fixture
def first(mesh: SmsMesh) -> Consumer:
    return Consumer(mesh, "first-consumer")


@pytest.fixture
def second(mesh: SmsMesh) -> Consumer:
    return Consumer(mesh, "second-consumer")


async def sweep(mesh: SmsMesh, dispatches_max: int = 1000) -> pb.SweepDispatchesResponse:
    request = pb.SweepDispatchesRequest(dispatches_max=dispatches_max)
    return await mesh.sms_peer.call(mesh.dispatches.SweepDispatches, request)


async def take(mesh: SmsMesh, queue: str = QUEUE) -> list[int]:
    """Take all messages off a queue; answer the dispatches that they name."""
    deliveries = await mesh.bus.receive(queue, 1000, 30)
    await mesh.bus.ack(deliveries)
    return [one for delivery in deliveries for one in json.loads(delivery.body)["ids"]]


async def receive(mesh: SmsMesh, dispatch_id: int, verdict: pb.ReceiptVerdict.ValueType, number: int = 1) -> None:
    receipt = pb.SmsReceipt(dispatch_id=dispatch_id, phone=e164(number), verdict=verdict)
    await mesh.sms_peer.call(mesh.dispatches.RecordReceipts, pb.RecordReceiptsRequest(receipts=[receipt]))


async def test_a_sweep_of_nothing_does_nothing(mesh: SmsMesh) -> None:
    assert await sweep(mesh) == NOTHING


async def test_what_is_where_it_should_be_is_left_there(mesh: SmsMesh, first: Consumer) -> None:
    await first.claimed()
    await first.charged()
    await first.submitted()
    await first.unknown()
    await mesh.send()
    await mesh.send(schedule_time=to_timestamp(mesh.clock.now_ms + HOUR_MS))
    before = await mesh.rows(tables.dispatch), await mesh.rows(tables.record)
    mesh.clock.pass_seconds(LEASE_SECONDS - 1)
    assert await sweep(mesh) == NOTHING
    assert (await mesh.rows(tables.dispatch), await mesh.rows(tables.record)) == before


# Waiting.


async def test_a_scheduled_message_is_published_when_it_is_due(mesh: SmsMesh) -> None:
    (message_id,) = ids_of(await mesh.send(schedule_time=to_timestamp(mesh.clock.now_ms + HOUR_MS)))
    assert await mesh.bus.queues("sms.send.") == []
    mesh.clock.pass_ms(HOUR_MS - 1)
    assert await sweep(mesh) == NOTHING
    mesh.clock.pass_ms(1)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == [message_id]
    assert await mesh.statuses() == ["QUEUED"]
    assert await sweep(mesh) == NOTHING


async def test_what_was_accepted_while_the_bus_was_away_is_published_when_it_is_back(mesh: SmsMesh) -> None:
    mesh.bus.is_away = True
    message_ids = ids_of(await mesh.send(phone(1))) + ids_of(await mesh.send(phone(2)))
    assert set((await mesh.states()).values()) == {"WAITING"}
    assert await mesh.statuses() == ["ACCEPTED", "ACCEPTED"]
    assert await sweep(mesh) == NOTHING
    assert await mesh.statuses() == ["ACCEPTED", "ACCEPTED"]
    mesh.bus.is_away = False
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=2)
    assert await take(mesh) == message_ids
    assert await mesh.statuses() == ["QUEUED", "QUEUED"]


async def test_a_retry_is_published_when_its_pause_is_over(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.charged()
    await take(mesh)
    await first.record(dispatch_id, pb.DISPATCH_OUTCOME_RETRY, "PROVIDER_BUSY", retry_after_seconds=60)
    mesh.clock.pass_seconds(60)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == [dispatch_id]
    assert await mesh.statuses() == ["CHARGED"]


# Claimed.


async def test_an_expired_claim_is_published_again(mesh: SmsMesh, first: Consumer, second: Consumer) -> None:
    dispatch_id = await first.claimed()
    await take(mesh)
    mesh.clock.pass_seconds(LEASE_SECONDS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == [dispatch_id]
    assert len(await second.claim(dispatch_id)) == 1


# Submitting.


async def test_a_submission_whose_consumer_went_away_is_unknown_and_never_queued(
    mesh: SmsMesh, first: Consumer, second: Consumer
) -> None:
    dispatch_id = await first.charged(phone(1), phone(2))
    mesh.clock.pass_seconds(LEASE_SECONDS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(unknown_count=1)
    assert await mesh.statuses() == ["UNKNOWN", "UNKNOWN"]
    assert await mesh.states() == {dispatch_id: "AWAITING"}
    assert await second.claim(dispatch_id) == []
    assert await take(mesh, "sms.send.7.notification.batch") == [dispatch_id]
    mesh.clock.pass_ms(HOUR_MS)
    assert await sweep(mesh) == NOTHING
    assert await take(mesh, "sms.send.7.notification.batch") == []


# Reporting.


async def test_an_outcome_that_was_not_told_is_published_until_it_is(
    mesh: SmsMesh, first: Consumer, second: Consumer
) -> None:
    dispatch_id = await first.submitted()
    await take(mesh)
    for pause in (LEASE_SECONDS, LOST_AFTER_MS / 1000):
        mesh.clock.pass_seconds(pause)
        assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
        assert await take(mesh) == [dispatch_id]
    (dispatch,) = await second.claim(dispatch_id)
    assert dispatch.stage == pb.DISPATCH_STAGE_REPORT
    assert await mesh.statuses() == ["SUBMITTED"]
    await second.finish(dispatch_id)
    mesh.clock.pass_ms(HOUR_MS)
    assert await sweep(mesh) == NOTHING


async def test_a_report_that_nobody_takes_is_on_its_queue_once(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.submitted()
    await take(mesh)
    mesh.clock.pass_seconds(LEASE_SECONDS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    for _ in range(5):
        mesh.clock.pass_ms(LOST_AFTER_MS)
        assert await sweep(mesh) == NOTHING
    assert await take(mesh) == [dispatch_id]


async def test_a_report_that_its_queue_lost_is_published_again(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.submitted()
    await take(mesh)
    mesh.clock.pass_seconds(LEASE_SECONDS)
    await sweep(mesh)
    mesh.bus.lose_everything()
    mesh.clock.pass_ms(LOST_AFTER_MS - 1)
    assert await sweep(mesh) == NOTHING
    mesh.clock.pass_ms(1)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == [dispatch_id]


async def test_a_report_that_was_let_go_again_is_published_again(
    mesh: SmsMesh, first: Consumer, second: Consumer
) -> None:
    dispatch_id = await first.submitted()
    await take(mesh)
    mesh.clock.pass_seconds(LEASE_SECONDS)
    await sweep(mesh)
    assert await take(mesh) == [dispatch_id]
    assert len(await second.claim(dispatch_id)) == 1
    (waits,) = ids_of(await mesh.send())
    mesh.clock.pass_seconds(LEASE_SECONDS - 1)
    assert await sweep(mesh) == NOTHING
    mesh.clock.pass_seconds(1)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == [waits, dispatch_id]


async def test_a_report_whose_publishing_failed_is_published_as_soon_as_the_bus_is_back(
    mesh: SmsMesh, first: Consumer
) -> None:
    dispatch_id = await first.submitted()
    await take(mesh)
    # What is older waits in the same queue, so that looking there would not tell that the report is missing.
    (waits,) = ids_of(await mesh.send())
    mesh.clock.pass_seconds(2 * LEASE_SECONDS)
    mesh.bus.is_away = True
    for _ in range(2):
        assert await sweep(mesh) == NOTHING
        assert (await mesh.states())[dispatch_id] == "REPORTING"
    mesh.bus.is_away = False
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await sweep(mesh) == NOTHING
    assert await take(mesh) == [waits, dispatch_id]


async def test_a_crash_before_a_report_is_published_is_found(
    mesh: SmsMesh, first: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        raise RuntimeError("crashed")

    dispatch_id = await first.submitted()
    await take(mesh)
    mesh.clock.pass_seconds(LEASE_SECONDS)
    with monkeypatch.context() as patch:
        patch.setattr(mesh.bus, "publish", crash)
        with refused("INTERNAL"):
            await sweep(mesh)
    mesh.clock.pass_ms(LOST_AFTER_MS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == [dispatch_id]


async def test_who_takes_a_report_while_the_sweep_looks_for_it_keeps_its_lease(
    mesh: SmsMesh, first: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch_id = await first.submitted()
    await take(mesh)
    mesh.clock.pass_seconds(LEASE_SECONDS)
    await sweep(mesh)
    mesh.clock.pass_ms(LOST_AFTER_MS)
    look = mesh.sweeping._oldest_at_ms

    async def look_late(queue: str, now_ms: int) -> int:
        assert await mesh.dispatching.claim([dispatch_id], "second-consumer", 10 * LEASE_SECONDS)
        return await look(queue, now_ms)

    monkeypatch.setattr(mesh.sweeping, "_oldest_at_ms", look_late)
    assert await sweep(mesh) == NOTHING
    (row,) = await mesh.rows(tables.dispatch)
    assert row["look_at_ms"] == mesh.clock.now_ms + 10 * LEASE_SECONDS * 1000


async def test_what_is_settled_as_lost_is_published_at_once_though_its_queue_is_never_empty(
    mesh: SmsMesh, first: Consumer
) -> None:
    dispatch_id = await first.unknown()
    await take(mesh)
    mesh.clock.pass_ms(71 * HOUR_MS)
    (waits,) = ids_of(await mesh.send())
    mesh.clock.pass_ms(HOUR_MS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(settled_count=1, published_count=1)
    assert await sweep(mesh) == NOTHING
    assert await take(mesh) == [waits, dispatch_id]


# Queued, and lost on the way.


async def test_a_message_that_its_queue_lost_is_published_again(mesh: SmsMesh) -> None:
    message_ids = ids_of(await mesh.send(phone(1))) + ids_of(await mesh.send(phone(2)))
    mesh.bus.lose_everything()
    mesh.clock.pass_ms(LOST_AFTER_MS - 1)
    assert await sweep(mesh) == NOTHING
    mesh.clock.pass_ms(1)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=2)
    assert await take(mesh) == message_ids


async def test_a_crash_between_storing_and_publishing_is_found(mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: object) -> None:
        raise RuntimeError("crashed")

    with monkeypatch.context() as patch:
        patch.setattr(mesh.bus, "publish", crash)
        with refused("INTERNAL"):
            await mesh.send(request_id="crashed")
    assert await mesh.bus.queues("sms.send.") == []
    mesh.clock.pass_ms(LOST_AFTER_MS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == ids_of(await mesh.send(request_id="crashed"))


async def test_what_waits_in_its_queue_is_not_published_twice(mesh: SmsMesh) -> None:
    (message_id,) = ids_of(await mesh.send())
    for _ in range(3):
        mesh.clock.pass_ms(LOST_AFTER_MS)
        assert await sweep(mesh) == NOTHING
    assert await take(mesh) == [message_id]


async def test_what_a_consumer_has_in_its_hands_is_not_published_twice(mesh: SmsMesh) -> None:
    await mesh.send()
    (delivery,) = await mesh.bus.receive(QUEUE, 10, 300)
    mesh.clock.pass_ms(LOST_AFTER_MS)
    assert await sweep(mesh) == NOTHING
    await mesh.bus.ack([delivery])
    mesh.clock.pass_ms(LOST_AFTER_MS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)


async def test_a_lost_message_is_found_in_a_queue_that_is_never_empty(mesh: SmsMesh) -> None:
    (lost,) = ids_of(await mesh.send())
    mesh.bus.lose_everything()
    for _ in range(4):
        mesh.clock.pass_ms(LOST_AFTER_MS // 2)
        (later,) = ids_of(await mesh.send())
        swept = await sweep(mesh)
        if swept.published_count:
            break
        await take(mesh)
    assert swept == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == [later, lost]


async def test_nothing_counts_as_lost_while_the_bus_is_away(mesh: SmsMesh) -> None:
    (message_id,) = ids_of(await mesh.send())
    mesh.bus.lose_everything()
    mesh.bus.is_away = True
    mesh.clock.pass_ms(LOST_AFTER_MS)
    assert await sweep(mesh) == NOTHING
    mesh.bus.is_away = False
    mesh.clock.pass_ms(LOST_AFTER_MS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(published_count=1)
    assert await take(mesh) == [message_id]


# Settling.


async def test_a_submitted_message_without_a_receipt_stays_charged(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.submitted()
    await first.finish(dispatch_id)
    mesh.clock.pass_ms(72 * HOUR_MS - 1)
    assert await sweep(mesh) == NOTHING
    mesh.clock.pass_ms(1)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(settled_count=1)
    sms = (await mesh.get(dispatch_id)).sms
    assert (sms.status, sms.failure_reason) == (pb.SMS_STATUS_UNCONFIRMED, "")
    assert await mesh.states() == {}
    assert await sweep(mesh) == NOTHING


async def test_an_unknown_message_without_a_receipt_fails_and_is_told_one_by_one(
    mesh: SmsMesh, first: Consumer
) -> None:
    dispatch_id = await first.unknown(*map(phone, (1, 2, 3, 4)))
    await receive(mesh, dispatch_id, pb.RECEIPT_VERDICT_DELIVERED, 1)
    await receive(mesh, dispatch_id, pb.RECEIPT_VERDICT_UNDELIVERED, 2)
    mesh.clock.pass_ms(72 * HOUR_MS)
    assert await sweep(mesh) == pb.SweepDispatchesResponse(settled_count=2, published_count=1)
    assert await mesh.statuses() == ["DELIVERED", "FAILED", "FAILED", "FAILED"]
    (dispatch,) = await first.claim(dispatch_id)
    assert (dispatch.stage, dispatch.outcome) == (pb.DISPATCH_STAGE_REPORT, pb.DISPATCH_OUTCOME_LOST)
    assert [one.phone for one in dispatch.recipients] == [e164(3), e164(4)]
    assert (await mesh.get(dispatch_id + 2)).sms.failure_reason == "NO_RECEIPT"
    await first.finish(dispatch_id)
    assert await mesh.states() == {}


async def test_what_receipts_settled_in_time_is_only_forgotten(mesh: SmsMesh, first: Consumer) -> None:
    dispatch_id = await first.submitted()
    await first.finish(dispatch_id)
    await receive(mesh, dispatch_id, pb.RECEIPT_VERDICT_DELIVERED)
    rows = await mesh.rows(tables.record)
    mesh.clock.pass_ms(72 * HOUR_MS)
    assert await sweep(mesh) == NOTHING
    assert await mesh.rows(tables.record) == rows
    assert await mesh.states() == {}


# Large sends that a crash left half stored.


async def test_what_a_crash_left_of_a_large_send_is_removed(mesh: SmsMesh) -> None:
    sent = await mesh.send(*map(phone, range(1001)))
    first, second = await mesh.states()
    await mesh.set_dispatch(first, state=DispatchState.LOADING.value)
    await mesh.set_dispatch(second, state=DispatchState.LOADING.value)
    kept = ids_of(await mesh.send(phone(1)))
    mesh.bus.lose_everything()
    mesh.clock.pass_ms(LOST_AFTER_MS + LOADING_MS_MAX - 1)
    await sweep(mesh)
    assert len(await mesh.rows(tables.record)) == 1002
    mesh.clock.pass_ms(1)
    await sweep(mesh)
    assert [row["record_id"] for row in await mesh.rows(tables.record)] == kept
    assert int(sent.task_id) not in await mesh.states()


# Bounds.


async def test_a_pass_is_bounded_and_the_next_goes_on(mesh: SmsMesh) -> None:
    schedule_time = to_timestamp(mesh.clock.now_ms + HOUR_MS)
    ids = [ids_of(await mesh.send(schedule_time=schedule_time))[0] for _ in range(5)]
    mesh.clock.pass_ms(HOUR_MS)
    counts = [(await sweep(mesh, 2)).published_count for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    assert await take(mesh) == ids


@dataclass(frozen=True)
class Row:
    dispatch_id: int
    record_count: int


@pytest.mark.parametrize(
    ("counts", "portions"),
    [
        ([], []),
        ([RECORDS_AT_ONCE + 1], [1]),
        ([1000] * 25, [10, 10, 5]),
        ([1] * 1000, [1000]),
        ([9999, 1, 1, RECORDS_AT_ONCE, 1], [2, 1, 1, 1]),
    ],
)
async def test_one_transaction_of_a_pass_is_bounded_too(counts: list[int], portions: list[int]) -> None:
    done: list[list[int]] = []

    async def do(dispatch_ids: Sequence[int]) -> int:
        done.append(list(dispatch_ids))
        return len(dispatch_ids)

    assert await _in_portions(do, [Row(number, count) for number, count in enumerate(counts)]) == len(counts)
    assert [len(portion) for portion in done] == portions
    assert [one for portion in done for one in portion] == list(range(len(counts)))


async def test_settling_a_large_campaign_gets_on_though_a_pass_is_broken_off(
    mesh: SmsMesh, first: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sms_rpc.sweeping.RECORDS_AT_ONCE", 2)
    ids = [await first.unknown(phone(1), phone(2)) for _ in range(3)]
    mesh.clock.pass_ms(72 * HOUR_MS)
    settle, calls = mesh.sweeping._settle, itertools.count(1)

    async def settle_twice(dispatch_ids: Sequence[int]) -> int:
        if next(calls) == 3:
            raise TimeoutError
        return await settle(dispatch_ids)

    with monkeypatch.context() as patch:
        patch.setattr(mesh.sweeping, "_settle", settle_twice)
        with pytest.raises(TimeoutError):
            await mesh.sweeping.sweep(100)
    assert [(await mesh.states())[one] for one in ids] == ["REPORTING", "REPORTING", "AWAITING"]
    assert (await sweep(mesh)).settled_count == 2
