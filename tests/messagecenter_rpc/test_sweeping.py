"""What a crash, a lost message or an outage leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NoReturn

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.typing import EventDict

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from mesh.bus.id_messages import publish_ids
from messagecenter_rpc import storage
from messagecenter_rpc.domain import Record
from messagecenter_rpc.publisher import Publisher
from tests.messagecenter_rpc.harness import MessageCenter, record_ids_of, refused


async def test_what_was_accepted_while_the_bus_was_away_goes_out_when_it_is_back(
    center: MessageCenter, logs: list[EventDict]
) -> None:
    await center.configure(template_id=await center.template(), repeat_count=2, interval_seconds=60)
    await center.device()
    center.bus.is_away = True
    ids = record_ids_of(await center.send())
    assert await center.statuses() == ["ACCEPTED", "ACCEPTED"]
    assert [line["count"] for line in logs if line["event"] == "records wait for the sweep"] == [2]

    assert await center.sweep() == 0
    assert await center.statuses() == ["ACCEPTED", "ACCEPTED"]
    center.bus.is_away = False
    assert await center.sweep() == 2
    assert await center.statuses() == ["QUEUED", "QUEUED"]
    assert await center.due_ids() == [ids[:1]]
    center.clock.pass_seconds(60)
    assert await center.due_ids() == [ids[1:]], "the repeat kept its time"


async def test_a_withheld_record_may_be_claimed_all_the_same(center: MessageCenter) -> None:
    await center.device()
    center.bus.is_away = True
    ids = await center.refresh()
    assert len(await center.claim(ids)) == 1
    await center.outcome(ids)
    assert await center.statuses() == ["SENT"]


async def test_a_crash_between_commit_and_publishing_is_found(
    center: MessageCenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await center.device()

    async def die(*_: object) -> NoReturn:
        raise RuntimeError("the process died here")

    request = center.request(MsgType=2)
    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "publish", die)
        with refused("INTERNAL"):
            await center.peer.call(center.calls.SendImCall, request)
    assert await center.statuses() == ["QUEUED"]
    again = await center.peer.call(center.calls.SendImCall, request)
    assert again.record_count == 1
    assert await center.due_ids() == []

    center.clock.pass_ms(29_999)
    assert await center.sweep() == 0
    center.clock.pass_ms(1)
    assert await center.sweep() == 1
    assert await center.due_ids() == [record_ids_of(again)]
    # Put on the queue once, not with every pass.
    assert await center.sweep() == 0


async def test_a_message_that_its_queue_lost_is_published_again_after_its_time(center: MessageCenter) -> None:
    await center.configure(template_id=await center.template(), first_delay_seconds=600)
    await center.device()
    ids = record_ids_of(await center.send())
    center.bus.lose_everything()
    center.clock.pass_seconds(629)
    assert await center.sweep() == 0, "until 30 s after its time it may just be late"
    center.clock.pass_seconds(1)
    assert await center.sweep() == 1
    assert await center.due_ids() == [ids]


async def test_delayed_messages_are_not_published_again_before_their_time(center: MessageCenter) -> None:
    await center.configure(
        template_id=await center.template(), first_delay_seconds=3_600, repeat_count=20, interval_seconds=600
    )
    await center.device()
    await center.send()
    for _ in range(30):
        center.clock.pass_seconds(100)
        assert await center.sweep() == 0
    assert (await center.bus.depth("im.call.7")).delayed == 20


async def test_a_long_queue_is_not_published_again(center: MessageCenter) -> None:
    await center.device()
    for _ in range(5):
        await center.refresh()
        center.clock.pass_seconds(5)
    for _ in range(10):
        center.clock.pass_seconds(31)
        assert await center.sweep() == 0
    assert (await center.bus.depth("im.call.7")).ready == 5


async def test_what_came_after_the_oldest_message_is_waited_for_and_what_came_before_it_is_lost(
    center: MessageCenter,
) -> None:
    await center.device()
    lost = await center.refresh()
    await center.due_ids()
    center.clock.pass_seconds(20)
    waiting = await center.refresh()
    center.clock.pass_seconds(31)
    assert await center.sweep() == 1
    assert await center.due_ids() == [waiting, lost]


@pytest.mark.parametrize(("late_seconds", "published"), [(9, 0), (11, 1)])
async def test_a_message_may_come_to_its_queue_a_little_late(
    center: MessageCenter, late_seconds: int, published: int
) -> None:
    await center.device()
    ids = await center.refresh()
    center.bus.lose_everything()
    center.clock.pass_seconds(late_seconds)
    await publish_ids(center.bus, "im.call.7", ids)
    center.clock.pass_seconds(31 - late_seconds)
    assert await center.sweep() == published


async def test_a_record_whose_consumer_went_away_comes_again_and_may_have_been_sent(center: MessageCenter) -> None:
    await center.device()
    ids = await center.refresh()
    await center.due_ids()
    await center.claim(ids, lease_seconds=60)
    center.clock.pass_ms(59_999)
    assert await center.sweep() == 0
    center.clock.pass_ms(1)
    assert await center.sweep() == 1
    assert await center.due_ids() == [ids]
    (delivery,) = await center.claim(ids, "second")
    assert (delivery.recipients[0].may_be_sent, delivery.recipients[0].attempt) == (True, 1)
    await center.outcome(ids, consumer="first")
    assert await center.statuses() == ["SENDING"]


async def test_a_late_consumer_finds_its_record_taken_back(center: MessageCenter) -> None:
    await center.device()
    ids = await center.refresh()
    await center.claim(ids)
    center.clock.pass_seconds(30)
    await center.sweep()
    await center.outcome(ids, pb.IM_OUTCOME_SENT)
    assert await center.statuses() == ["QUEUED"]


async def test_a_pass_looks_at_no_more_than_it_was_told_to(center: MessageCenter) -> None:
    for _ in range(25):
        await center.device()
    center.bus.is_away = True
    ids = await center.refresh()
    center.bus.is_away = False
    assert [await center.sweep(10) for _ in range(4)] == [10, 10, 5, 0]
    assert sorted(flat(await center.due_ids())) == ids


async def test_what_is_due_first_is_swept_first(center: MessageCenter) -> None:
    await center.device()
    center.bus.is_away = True
    sends = []
    for _ in range(3):
        sends.append(await center.refresh())
        center.clock.pass_seconds(1)
    center.bus.is_away = False
    assert await center.sweep(2) == 2
    assert flat(await center.due_ids()) == flat(sends[:2])


async def test_terminal_records_are_left_alone(center: MessageCenter) -> None:
    await center.device()
    await center.send(MsgType=2)
    cancelled = await center.send(MsgType=2)
    await center.cancel(cancelled.call_id)
    for outcome in (pb.IM_OUTCOME_SENT, pb.IM_OUTCOME_SKIPPED, pb.IM_OUTCOME_FAILED):
        ids = [*await center.refresh(), *await center.refresh()]
        await center.set_record(ids[1], may_be_sent=True)
        await center.claim(ids)
        await center.outcome(ids, outcome)
    before = (await center.rows())[1:]
    statuses = {row["status"] for row in before}
    assert statuses == {"CANCELLED", "SENT", "SKIPPED", "FAILED", "UNKNOWN"}
    assert {row["look_at_ms"] for row in before} == {0}
    center.bus.lose_everything()
    center.clock.pass_seconds(1_000_000)
    assert await center.sweep(1) == 1, "the one that nobody claimed"
    assert (await center.rows())[1:] == before


async def test_what_waits_in_its_queue_does_not_keep_the_rest_from_being_looked_at(center: MessageCenter) -> None:
    await center.device()
    for _ in range(2):
        await center.refresh()
    center.clock.pass_seconds(31)
    center.bus.is_away = True
    await center.refresh()
    center.bus.is_away = False
    assert [await center.sweep(2) for _ in range(3)] == [0, 1, 0]


async def test_what_is_claimed_between_the_look_and_the_taking_is_left_to_its_consumer(
    center: MessageCenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await center.device()
    ids = await center.refresh()
    center.bus.lose_everything()
    center.clock.pass_seconds(31)
    read_overdue = storage.read_overdue

    async def read_and_lose_the_race(connection: AsyncConnection, now_ms: int, limit: int) -> list[Record]:
        overdue = await read_overdue(connection, now_ms, limit)
        assert len(await center.claim(ids)) == 1
        return overdue

    monkeypatch.setattr(storage, "read_overdue", read_and_lose_the_race)
    assert await center.sweep() == 0
    await center.outcome(ids)
    assert await center.statuses() == ["SENT"]


async def test_two_sweeps_at_once_publish_once(center: MessageCenter) -> None:
    for _ in range(20):
        await center.device()
    center.bus.is_away = True
    ids = await center.refresh()
    center.bus.is_away = False
    counts = await asyncio.gather(*(center.sweep() for _ in range(4)))
    assert sum(counts) == 20
    assert flat(await center.due_ids()) == ids


def flat(messages: Iterable[Iterable[int]]) -> list[int]:
    return [record_id for ids in messages for record_id in ids]
