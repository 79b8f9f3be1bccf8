"""What is away, slow, crashes or comes twice: nothing is lost, and nothing arrives twice."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable

import grpc
import pytest
from aiohttp import web
from structlog.typing import EventDict

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from mesh.bus.id_messages import publish_ids
from mesh.bus.port import DEAD_REASON_HEADER, Message
from mesh.channel import Peer
from mesh.testing import eventually
from messagecenter_rmq import pipeline as pipeline_module
from messagecenter_rmq.planning import Plan, plan
from messagecenter_rmq.sending import Sender
from tests.messagecenter_rmq.chain import KITCHEN, LEASE_SECONDS, QUEUE, ROOM_PAD, Chain, Process
from tests.messagecenter_rmq.deliveries import TEXT
from tests.messagecenter_rmq.tencent import Sent, Step, Tencent, lose_answer, lose_call, refuse, wait_for

# These fail at once, where the channel would try UNAVAILABLE again by itself.
AWAY = grpc.StatusCode.ABORTED
REFUSED = grpc.StatusCode.FAILED_PRECONDITION

LATER = LEASE_SECONDS + 30
"""When a lease is over, and each pause."""


async def record_ids(chain: Chain, *call_ids: str) -> list[int]:
    return [int(one.record_id) for call_id in call_ids for one in await chain.records(call_id)]


def keys(chain: Chain) -> set[tuple[int, int]]:
    return {sent.key for sent in chain.tencent.sends}


# Tencent.


@pytest.mark.parametrize("step", [lose_answer, lose_call])
async def test_after_a_lost_answer_the_same_message_is_sent_again_and_arrives_once(chain: Chain, step: Step) -> None:
    kitchen = await chain.open_kitchen()
    chain.tencent.script.extend([step, step])
    call_id = await chain.call()
    await chain.work()
    assert await chain.ends(call_id) == [("QUEUED", "IM_ANSWER_LOST", "")]
    await chain.go_on(LATER)
    await chain.go_on(LATER)
    assert await chain.statuses(call_id) == ["SENT"]
    assert (len(chain.tencent.sends), len(keys(chain))) == (3, 1)
    assert chain.tencent.inboxes == {kitchen: [TEXT]}


async def test_of_many_accounts_a_lost_answer_makes_nobody_hear_it_twice(chain: Chain) -> None:
    await chain.configure(ROOM_PAD, template_id=await chain.put_template())
    pads = [await chain.put_device(f"pad-{number}", ROOM_PAD) for number in range(20)]
    chain.tencent.script.append(lose_answer)
    call_id = await chain.call(ROOM_PAD)
    await chain.work()
    await chain.go_on(LATER)
    assert set(await chain.statuses(call_id)) == {"SENT"}
    assert chain.tencent.inboxes == {pad: [TEXT] for pad in pads}
    assert (len(chain.tencent.sends), len(keys(chain))) == (2, 1)


async def test_a_message_whose_answers_are_lost_until_its_time_is_over_stays_unknown(chain: Chain) -> None:
    await chain.open_kitchen()
    chain.tencent.script.extend([lose_call] * 100)
    call_id = await chain.call()
    await chain.work()
    for _ in range(30):
        await chain.go_on(31)
    assert await chain.ends(call_id) == [("UNKNOWN", "EXPIRED", "")]
    assert len(keys(chain)) == 1
    assert 15 <= len(chain.tencent.sends) <= 21


async def test_what_tencent_refuses_for_now_is_tried_again(chain: Chain) -> None:
    await chain.open_kitchen()
    chain.tencent.script.append(refuse(90995))
    call_id = await chain.call()
    await chain.work()
    assert await chain.ends(call_id) == [("QUEUED", "IM_INTERNAL_ERROR", "90995")]
    await chain.work()
    assert len(chain.tencent.sends) == 1, "it was told to wait"
    await chain.go_on(LATER)
    assert await chain.statuses(call_id) == ["SENT"]
    assert [one.attempt for one in await chain.records(call_id)] == [1]


async def test_what_tencent_refuses_for_good_fails(chain: Chain) -> None:
    await chain.open_kitchen()
    chain.tencent.script.append(refuse(20012))
    call_id = await chain.call()
    await chain.work()
    assert await chain.ends(call_id) == [("FAILED", "IM_SENDER_MUTED", "20012")]
    await chain.go_on(LATER)
    assert len(chain.tencent.sends) == 1


async def test_a_send_that_may_outlast_its_lease_is_not_begun(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = await chain.open_process("slow", lease_seconds=50, send_timeout_seconds=20, sends_in_flight_max=1)
    passed_seconds = 1000.0
    monkeypatch.setattr(Sender, "loop_seconds", lambda _: passed_seconds)

    async def take_long(tencent: Tencent, sent: Sent) -> web.StreamResponse:
        nonlocal passed_seconds
        passed_seconds += 17
        return tencent.take(sent)

    kitchen = await chain.open_kitchen(repeat_count=3, interval_seconds=1)
    call_id = await chain.call()
    chain.clock.pass_seconds(2)
    chain.tencent.script.extend([take_long] * 2)
    await chain.work(slow)
    assert await chain.ends(call_id) == [("SENT", "", "")] * 2 + [("QUEUED", "LEASE_ENDS", "")]
    assert len(chain.tencent.sends) == 2
    await chain.go_on(LATER)
    assert chain.tencent.inboxes == {kitchen: [TEXT] * 3}


async def test_a_message_whose_time_is_over_when_its_turn_comes_is_skipped(chain: Chain) -> None:
    narrow = await chain.open_process("narrow", sends_in_flight_max=1)
    await chain.open_kitchen(repeat_count=2, interval_seconds=1)
    call_id = await chain.call()
    chain.clock.pass_seconds(1)
    answering = asyncio.Event()
    chain.tencent.script.append(wait_for(answering))
    working = asyncio.create_task(chain.work(narrow))
    await eventually(lambda: chain.tencent.sends)
    chain.clock.pass_seconds(601)
    answering.set()
    await working
    assert await chain.ends(call_id) == [("SENT", "", ""), ("SKIPPED", "EXPIRED", "")]


# txim_rpc.


async def test_while_txim_rpc_is_away_messages_wait(chain: Chain) -> None:
    nowhere = Peer("txim_rpc", "127.0.0.1:9")
    chain.stack.push_async_callback(nowhere.close)
    alone = await chain.open_process("alone", txim=nowhere)
    kitchen = await chain.open_kitchen()
    call_id = await chain.call()
    await chain.work(alone)
    assert await chain.ends(call_id) == [("QUEUED", "UNAVAILABLE", "")]
    await chain.go_on(LATER)
    assert await chain.statuses(call_id) == ["SENT"]
    assert chain.tencent.inboxes == {kitchen: [TEXT]}


async def test_a_call_that_txim_rpc_does_not_answer_in_time_is_made_again(chain: Chain) -> None:
    hurried = await chain.open_process("hurried", send_timeout_seconds=1)
    kitchen = await chain.open_kitchen()
    chain.tencent.script.append(wait_for(asyncio.Event()))
    call_id = await chain.call()
    await chain.work(hurried)
    assert await chain.ends(call_id) == [("QUEUED", "DEADLINE_EXCEEDED", "")]
    await chain.go_on(LATER)
    assert chain.tencent.inboxes == {kitchen: [TEXT]}
    assert len(keys(chain)) == 1


async def test_what_txim_rpc_has_no_room_for_is_known_not_to_be_sent(chain: Chain) -> None:
    await chain.open_kitchen()
    chain.faults.refuse("SendMsg", *[grpc.StatusCode.RESOURCE_EXHAUSTED] * 50)
    call_id = await chain.call()
    await chain.work()
    for _ in range(30):
        await chain.go_on(31)
    assert await chain.ends(call_id) == [("SKIPPED", "EXPIRED", "")]


async def test_what_txim_rpc_may_have_sent_is_not_known_not_to_be(chain: Chain) -> None:
    kitchen = await chain.open_kitchen()
    chain.faults.lose_answer("SendMsg", AWAY)
    call_id = await chain.call()
    await chain.work()
    chain.clock.pass_seconds(601)
    await chain.go_on(1)
    assert await chain.ends(call_id) == [("UNKNOWN", "EXPIRED", "")]
    assert chain.tencent.inboxes == {kitchen: [TEXT]}


async def test_a_request_that_txim_rpc_refuses_fails(chain: Chain) -> None:
    await chain.open_kitchen()
    chain.faults.refuse("SendMsg", REFUSED)
    call_id = await chain.call()
    await chain.work()
    assert await chain.ends(call_id) == [("FAILED", "SWITCHED_OFF", "switched off by the test")]


# messagecenter_rpc.


async def test_a_message_of_the_queue_comes_again_when_nothing_could_be_claimed(
    chain: Chain, logs: list[EventDict]
) -> None:
    await chain.open_kitchen()
    chain.faults.refuse("ClaimImRecords", AWAY)
    call_id = await chain.call()
    await chain.work()
    depth = await chain.bus.depth(QUEUE)
    assert (depth.delayed, depth.ready) == (1, 0)
    assert "records could not be claimed" in [line["event"] for line in logs]
    chain.clock.pass_seconds(31)
    await chain.work()
    assert await chain.statuses(call_id) == ["SENT"]


async def test_a_claim_whose_answer_was_lost_is_taken_up_when_its_lease_is_over(chain: Chain) -> None:
    await chain.open_kitchen()
    chain.faults.lose_answer("ClaimImRecords", AWAY)
    call_id = await chain.call()
    await chain.work()
    await chain.go_on(LEASE_SECONDS - 1)
    assert chain.tencent.sends == []
    await chain.go_on(LATER)
    assert await chain.statuses(call_id) == ["SENT"]
    assert len(chain.tencent.arrived) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_outcome_is_recorded_when_messagecenter_rpc_is_back(chain: Chain, when: str) -> None:
    fail = chain.faults.refuse if when == "before" else chain.faults.lose_answer
    fail("RecordImOutcomes", AWAY, AWAY)
    await chain.open_kitchen()
    call_id = await chain.call()
    await chain.work()
    assert await chain.statuses(call_id) == ["SENT"]
    assert len(chain.tencent.sends) == 1


async def test_an_outcome_that_is_never_recorded_is_found_out_by_sending_again(
    chain: Chain, logs: list[EventDict]
) -> None:
    kitchen = await chain.open_kitchen()
    chain.faults.refuse("RecordImOutcomes", REFUSED)
    call_id = await chain.call()
    await chain.work()
    assert await chain.statuses(call_id) == ["SENDING"]
    assert "delivery is left to the sweep" in [line["event"] for line in logs]
    await chain.go_on(LATER)
    assert await chain.statuses(call_id) == ["SENT"]
    assert (len(chain.tencent.sends), len(keys(chain))) == (2, 1)
    assert chain.tencent.inboxes == {kitchen: [TEXT]}


async def test_recording_is_given_up_when_the_lease_is_over(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    short = await chain.open_process("short", lease_seconds=20, send_timeout_seconds=10)
    # Looked at when the lease begins, before the send and after each refusal: the lease is over at the fourth.
    looks = itertools.count(1000, 4)
    monkeypatch.setattr(Sender, "loop_seconds", lambda _: float(next(looks)))
    await chain.open_kitchen()
    chain.faults.refuse("RecordImOutcomes", *[AWAY] * 1000)
    call_id = await chain.call()
    await chain.work(short)
    assert len(chain.faults.before["RecordImOutcomes"]) == 1000 - 4
    chain.faults.clear()
    await chain.go_on(LATER)
    assert await chain.statuses(call_id) == ["SENT"]


# A consumer that dies, at each step of its way.


class DiedError(BaseException):
    """The process is gone: nothing of it goes on."""


def die(process: Process, step: str, *, afterwards: bool = False) -> None:
    """Let a process die at a step, before or after it was done."""
    owner = process.txim if step == "send" else process.records
    real: Callable[..., object] = getattr(owner, step)

    async def dying(*arguments: object) -> None:
        if afterwards:
            await real(*arguments)  # type: ignore[misc]  # each step is a coroutine function
        raise DiedError

    setattr(owner, step, dying)


@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["claim", "send", "record"])
@pytest.mark.parametrize("count", [1, 3], ids=["one account", "many"])
async def test_a_consumer_that_dies_loses_nothing_and_nobody_hears_it_twice(
    chain: Chain, step: str, count: int, *, afterwards: bool
) -> None:
    await chain.configure(ROOM_PAD, template_id=await chain.put_template())
    pads = [await chain.put_device(f"pad-{number}", ROOM_PAD) for number in range(count)]
    call_id = await chain.call(ROOM_PAD)
    die(chain.first, step, afterwards=afterwards)
    await work_until_dead(chain)
    for _ in range(3):
        await chain.go_on(LATER, chain.second)
    assert await chain.statuses(call_id) == ["SENT"] * count
    assert chain.tencent.inboxes == {pad: [TEXT] for pad in pads}
    was_sent_before = (step, afterwards) in {("send", True), ("record", False)}
    assert (len(chain.tencent.sends), len(keys(chain))) == (1 + was_sent_before, 1)


async def work_until_dead(chain: Chain) -> None:
    """Let the first process take one message, which is its last: nothing acknowledges it."""
    (delivery,) = await chain.bus.receive(QUEUE, 1, 10)
    try:
        await chain.first.handler.handle(QUEUE, [delivery])
    except DiedError:
        return


async def test_a_consumer_that_slept_through_its_lease_changes_nothing(chain: Chain) -> None:
    kitchen = await chain.open_kitchen()
    waking = asyncio.Event()
    chain.tencent.script.append(wait_for(waking))
    call_id = await chain.call()
    sleeping = asyncio.create_task(chain.work())
    await eventually(lambda: chain.tencent.sends)
    await chain.go_on(LATER, chain.second)
    assert await chain.statuses(call_id) == ["SENT"]
    (record,) = await chain.records(call_id)
    waking.set()
    await sleeping
    assert await chain.records(call_id) == [record]
    assert chain.tencent.inboxes == {kitchen: [TEXT]}


# A consumer that is stopped.


async def test_a_process_that_stops_finishes_what_it_sends_and_claims_no_more(chain: Chain) -> None:
    await chain.open_kitchen()
    answering = asyncio.Event()
    chain.tencent.script.append(wait_for(answering))
    first_call = await chain.call()
    working = asyncio.create_task(chain.work())
    await eventually(lambda: chain.tencent.sends)
    chain.first.stop.set()
    second_call = await chain.call()
    await work_once(chain, chain.first)
    assert await chain.statuses(second_call) == ["QUEUED"]
    assert (await chain.bus.depth(QUEUE)).delayed == 1, "another process takes it, and soon"
    answering.set()
    await working
    assert await chain.statuses(first_call) == ["SENT"]
    await chain.go_on(2, chain.second)
    assert await chain.statuses(second_call) == ["SENT"]
    assert len(chain.tencent.sends) == 2


async def work_once(chain: Chain, process: Process) -> None:
    assert await chain._work_queue(process, QUEUE)


async def test_what_is_not_finished_in_time_is_taken_up_by_another(chain: Chain) -> None:
    kitchen = await chain.open_kitchen()
    chain.tencent.script.append(wait_for(asyncio.Event()))
    call_id = await chain.call()
    working = asyncio.create_task(chain.work())
    await eventually(lambda: chain.tencent.sends)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    async with asyncio.timeout(1):
        await chain.first.pipeline.aclose()
    await chain.go_on(LATER, chain.second)
    assert await chain.statuses(call_id) == ["SENT"]
    assert chain.tencent.inboxes == {kitchen: [TEXT]}


# Messages of the queue.


async def test_a_message_that_comes_twice_is_sent_once(chain: Chain) -> None:
    kitchen = await chain.open_kitchen()
    ids = await record_ids(chain, *[await chain.call() for _ in range(3)])
    for _ in range(3):
        await publish_ids(chain.bus, QUEUE, [*ids, *ids])
    await chain.work()
    await publish_ids(chain.bus, QUEUE, ids)
    await chain.work(chain.second)
    assert len(chain.tencent.sends) == 3
    assert chain.tencent.inboxes == {kitchen: [TEXT] * 3}


async def test_two_consumers_with_the_same_messages_in_any_order_send_each_once(chain: Chain) -> None:
    kitchen = await chain.open_kitchen()
    ids = await record_ids(chain, *[await chain.call() for _ in range(20)])
    chain.bus.lose_everything()
    chain.tencent.seconds_a_send = 0.01
    for turned in (ids, ids[::-1], ids[10:] + ids[:10]):
        await publish_ids(chain.bus, QUEUE, turned, 5)
    await asyncio.gather(chain.work(chain.first), chain.work(chain.second), chain.work(chain.first))
    assert (len(chain.tencent.sends), len(keys(chain))) == (20, 20)
    assert chain.tencent.inboxes == {kitchen: [TEXT] * 20}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"{}",
        b'{"ids": 17}',
        b'{"ids": ["17"]}',
        b'{"ids": [1.5]}',
        b'{"ids": [true]}',
        b'{"ids": [0]}',
        b'{"ids": [-1]}',
        b'{"ids": [9223372036854775808]}',
        b'{"ids": [1' + b"0" * 5000 + b"]}",
    ],
    ids=lambda body: body[:20].decode(errors="replace") or "empty",
)
async def test_a_message_that_cannot_be_read_is_a_dead_letter_and_its_neighbours_go_on(
    chain: Chain, body: bytes
) -> None:
    await chain.open_kitchen()
    first = await chain.call()
    await chain.bus.publish(QUEUE, [Message(body)])
    last = await chain.call()
    await chain.work()
    (letter,) = await chain.dead_letters()
    assert letter.body == body
    assert letter.headers[DEAD_REASON_HEADER]
    assert [await chain.statuses(one) for one in (first, last)] == [["SENT"], ["SENT"]]


async def test_a_message_of_no_id_or_of_unknown_ids_is_done(chain: Chain) -> None:
    bodies = [json.dumps({"ids": ids}).encode() for ids in ([], [1, 2], [(1 << 63) - 1])]
    await chain.bus.publish(QUEUE, [Message(body) for body in bodies])
    await chain.work()
    depth = await chain.bus.depth(QUEUE)
    assert (depth.ready, depth.in_flight, depth.delayed) == (0, 0, 0)
    assert await chain.dead_letters() == []


async def test_a_message_of_very_many_ids_is_claimed_in_parts(chain: Chain) -> None:
    await chain.open_kitchen()
    ids = await record_ids(chain, *[await chain.call() for _ in range(3)])
    body = json.dumps({"ids": [*range(1, 900), *ids, *range(900, 3000)]}).encode()
    chain.bus.lose_everything()
    await chain.bus.publish(QUEUE, [Message(body)])
    await chain.work()
    assert len(chain.tencent.arrived) == 3


async def test_what_the_bus_lost_is_sent_all_the_same(chain: Chain) -> None:
    await chain.open_kitchen()
    call_id = await chain.call()
    chain.bus.lose_everything()
    await chain.go_on(40)
    assert await chain.statuses(call_id) == ["SENT"]


async def test_one_delivery_that_fails_does_not_hold_up_the_others(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, logs: list[EventDict]
) -> None:
    await chain.open_kitchen()
    calls = [await chain.call(callParams={"roomName": str(room), "goodsName": "x", "num": "1"}) for room in range(3)]

    def failing(delivery: pb.ImDelivery, now_ms: int, recipients_max: int) -> Plan:
        if delivery.params["roomName"] == "1":
            raise RuntimeError("a defect")
        return plan(delivery, now_ms, recipients_max)

    chain.bus.lose_everything()
    await publish_ids(chain.bus, QUEUE, await record_ids(chain, *calls))
    with monkeypatch.context() as patched:
        patched.setattr(pipeline_module, "plan", failing)
        await chain.work()
    assert [await chain.statuses(one) for one in calls] == [["SENT"], ["SENDING"], ["SENT"]]
    assert "delivery is left to the sweep" in [line["event"] for line in logs]
    await chain.go_on(LATER)
    assert await chain.statuses(calls[1]) == ["SENT"]


async def test_a_device_that_is_not_known_to_tencent_is_made_known(chain: Chain) -> None:
    """Its account was deleted there, though it was imported once."""
    await chain.open_kitchen()
    chain.tencent.script.append(refuse(20003))
    await chain.call(KITCHEN)
    await chain.work()
    assert len(chain.tencent.arrived) == 1
