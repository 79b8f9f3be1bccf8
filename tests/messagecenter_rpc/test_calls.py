"""Looking calls up, and cancelling them."""

from __future__ import annotations

import asyncio

import pytest

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from tests.messagecenter_rpc.harness import (
    BRAND,
    BROADCAST,
    CASH_DESK,
    KITCHEN,
    ORDERED,
    OTHER_BRAND,
    OTHER_SHOP,
    PARAMS,
    SHOP,
    MessageCenter,
    record_ids_of,
    refused,
)


async def test_a_call_tells_what_was_asked_for(center: MessageCenter) -> None:
    template_id = await center.template()
    await center.configure(template_id=template_id, repeat_count=2, interval_seconds=30)
    device = await center.device()
    response = await center.send(KITCHEN, CASH_DESK, msgTemplateId=template_id)
    answer = await center.get(response.call_id)
    call = answer.call
    assert (call.call_id, call.shop_id, call.event, call.msg_type) == (response.call_id, SHOP, ORDERED, BROADCAST)
    assert (list(call.channels), dict(call.call_params)) == ([KITCHEN, CASH_DESK], PARAMS)
    assert (call.msg_template_id, call.record_count) == (template_id, 2)
    assert list(call.skipped_channels) == list(response.skipped_channels)
    assert call.create_time.ToMilliseconds() == center.clock.now_ms
    assert not call.HasField("cancel_time")
    now_ms = center.clock.now_ms
    assert [
        (int(one.record_id), one.channel, one.account, one.repeat_number, one.status, one.due_time.ToMilliseconds())
        for one in answer.records
    ] == [
        (record_id, KITCHEN, device.account, number, pb.IM_RECORD_STATUS_QUEUED, now_ms + (number - 1) * 30_000)
        for number, record_id in enumerate(record_ids_of(response), start=1)
    ]


async def test_pages_of_calls_newest_first(center: MessageCenter) -> None:
    sent = [await center.send(shopId=SHOP if number % 2 else OTHER_SHOP) for number in range(7)]
    await center.send(brandId=OTHER_BRAND)
    newest_first = [response.call_id for response in reversed(sent)]
    assert [call.call_id for call in (await center.list_calls()).calls] == newest_first
    pages, token = [], ""
    while True:
        page = await center.list_calls(page_size=3, page_token=token)
        pages.append([call.call_id for call in page.calls])
        token = page.next_page_token
        if not token:
            break
    assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    of_shop = await center.list_calls(shop_id=SHOP, page_size=3)
    assert [call.call_id for call in of_shop.calls] == [sent[5].call_id, sent[3].call_id, sent[1].call_id]
    assert of_shop.next_page_token == ""


async def test_pages_of_records_in_the_order_of_their_times(center: MessageCenter) -> None:
    await center.configure(KITCHEN, template_id=await center.template(), repeat_count=20, interval_seconds=1)
    await center.configure(CASH_DESK, template_id=await center.template(), repeat_count=5, interval_seconds=3)
    await center.device(channel=CASH_DESK)
    for _ in range(60):
        await center.device()
    response = await center.send(CASH_DESK, KITCHEN)
    assert response.record_count == 1205
    records, token = list[pb.ImRecord](), ""
    while True:
        page = await center.list_records(response.call_id, page_size=500, page_token=token)
        records += page.records
        token = page.next_page_token
        if not token:
            break
    assert [int(one.record_id) for one in records] == record_ids_of(response)
    times = [one.due_time.ToMilliseconds() for one in records]
    assert times == sorted(times)
    assert list((await center.get(response.call_id)).records) == records[:1000]


@pytest.mark.parametrize("token", ["x", "W10=", "WyJhIl0="])
async def test_tokens_that_no_page_gave_are_refused(center: MessageCenter, token: str) -> None:
    response = await center.send()
    with refused("INVALID_REQUEST", "page_token"):
        await center.list_calls(page_token=token)
    with refused("INVALID_REQUEST", "page_token"):
        await center.list_records(response.call_id, page_token=token)


async def test_a_cancel_stops_what_is_not_sent_and_a_repeat_answers_the_same(center: MessageCenter) -> None:
    await center.configure(template_id=await center.template(), repeat_count=5, interval_seconds=60)
    await center.device()
    response = await center.send()
    ids = record_ids_of(response)
    await center.claim(ids)
    await center.outcome(ids[:1])
    center.clock.pass_seconds(60)
    await center.claim(ids)
    await center.set_record(ids[2], status="ACCEPTED")

    cancelled = await center.cancel(response.call_id)
    assert cancelled.cancelled_count == 3
    assert cancelled.call.cancel_time.ToMilliseconds() == center.clock.now_ms
    assert await center.statuses() == ["SENT", "SENDING", "CANCELLED", "CANCELLED", "CANCELLED"]
    ended = [row["ended_at_ms"] for row in await center.rows()]
    assert ended[2:] == [center.clock.now_ms] * 3

    # What comes back from being sent stays for the consumer's check: the repeated cancel answers as the first.
    await center.outcome(ids[1:2], pb.IM_OUTCOME_RETRY)
    center.clock.pass_seconds(300)
    assert await center.cancel(response.call_id) == cancelled
    (delivery,) = await center.claim(ids)
    assert delivery.call_cancelled
    await center.outcome(ids[1:2], pb.IM_OUTCOME_SKIPPED, reason="CALL_CANCELLED")
    assert await center.statuses() == ["SENT", "SKIPPED", "CANCELLED", "CANCELLED", "CANCELLED"]
    assert (await center.get(response.call_id)).call == cancelled.call


async def test_what_may_have_been_heard_is_not_called_cancelled(center: MessageCenter) -> None:
    await center.configure(template_id=await center.template(), repeat_count=2, interval_seconds=60)
    await center.device()
    response = await center.send()
    first, _ = record_ids_of(response)
    await center.claim([first])
    await center.outcome([first], pb.IM_OUTCOME_UNKNOWN, reason="IM_TIMED_OUT")

    assert (await center.cancel(response.call_id)).cancelled_count == 1
    assert await center.statuses() == ["QUEUED", "CANCELLED"]
    (delivery,) = await center.claim([first])
    assert delivery.call_cancelled
    await center.outcome([first], pb.IM_OUTCOME_SKIPPED, reason="CALL_CANCELLED")
    assert await center.statuses() == ["UNKNOWN", "CANCELLED"]


async def test_a_call_without_records_can_be_cancelled(center: MessageCenter) -> None:
    response = await center.send()
    assert (await center.cancel(response.call_id)).cancelled_count == 0


async def test_a_cancel_leaves_the_calls_beside_it_alone(center: MessageCenter) -> None:
    await center.device()
    requests = [center.request(MsgType=2) for _ in range(3)]
    sends = await asyncio.gather(*(center.peer.call(center.calls.SendImCall, request) for request in requests))
    await center.cancel(sends[1].call_id)
    statuses = {str(row["call_id"]): row["status"] for row in await center.rows()}
    assert statuses == {sends[0].call_id: "QUEUED", sends[1].call_id: "CANCELLED", sends[2].call_id: "QUEUED"}


async def test_of_a_cancel_and_a_claim_each_record_has_one_winner(center: MessageCenter) -> None:
    for _ in range(40):
        await center.device()
    for _ in range(5):
        response = await center.send(MsgType=2)
        ids = record_ids_of(response)
        cancelled, claims = await asyncio.gather(
            center.cancel(response.call_id),
            asyncio.gather(*(center.claim(ids[start::4]) for start in range(4))),
        )
        held = {one.record_id for claim in claims for delivery in claim for one in delivery.recipients}
        statuses = {row["record_id"]: row["status"] for row in await center.rows() if row["record_id"] in ids}
        assert {record_id for record_id, status in statuses.items() if status == "SENDING"} == held
        assert cancelled.cancelled_count == len(ids) - len(held)
        assert set(statuses.values()) <= {"SENDING", "CANCELLED"}


async def test_many_cancels_at_once_are_one(center: MessageCenter) -> None:
    await center.device()
    response = await center.send(MsgType=2)
    answers = await asyncio.gather(*(center.cancel(response.call_id) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)


async def test_calls_are_found_by_their_brand(center: MessageCenter) -> None:
    response = await center.send()
    assert (await center.get(response.call_id, BRAND)).call.call_id == response.call_id
