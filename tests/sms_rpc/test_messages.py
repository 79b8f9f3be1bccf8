"""What apps ask of messages afterwards: look them up, list them, cancel scheduled ones, and keep the block list."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.errors import DomainError
from mesh.timestamps import to_timestamp
from sms_rpc import tables
from tests.sms_rpc.consumer import Consumer
from tests.sms_rpc.harness import BRAND, CREDITS, HOUR_MS, OTHER_BRAND, SmsMesh, e164, ids_of, phone, refused


async def schedule(mesh: SmsMesh, *phones: str, **changes: Any) -> pb.SendSmsResponse:
    schedule_time = to_timestamp(mesh.clock.now_ms + HOUR_MS)
    return await mesh.send(*(phones or [phone(1)]), **({"schedule_time": schedule_time} | changes))


async def cancel(mesh: SmsMesh, message_id: int, brand_id: int = BRAND) -> pb.Sms:
    request = pb.CancelSmsRequest(brand_id=brand_id, message_id=str(message_id))
    return (await mesh.sms_peer.call(mesh.sms.CancelSms, request)).sms


async def cancel_task(mesh: SmsMesh, task_id: str, brand_id: int = BRAND) -> int:
    request = pb.CancelSmsTaskRequest(brand_id=brand_id, task_id=task_id)
    return (await mesh.sms_peer.call(mesh.sms.CancelSmsTask, request)).cancelled_count


async def publish_due(mesh: SmsMesh) -> None:
    mesh.clock.pass_ms(HOUR_MS)
    await mesh.sweeping.sweep(1000)


async def frozen_after_jobs(mesh: SmsMesh) -> int:
    await mesh.apply_jobs()
    await mesh.is_sound()
    spent, frozen = await mesh.spent_and_frozen()
    assert spent == 0
    return frozen


# Cancels.


async def test_a_scheduled_message_is_cancelled_and_its_credits_come_back(mesh: SmsMesh) -> None:
    (message_id,) = ids_of(await schedule(mesh, content="x" * 100))
    assert await mesh.spent_and_frozen() == (0, 2)
    mesh.clock.pass_seconds(1)
    sms = await cancel(mesh, message_id)
    assert sms.status == pb.SMS_STATUS_CANCELLED
    assert await frozen_after_jobs(mesh) == 0
    assert (await mesh.account()).available == CREDITS
    steps = [event.status for event in (await mesh.get(message_id)).timeline]
    assert steps == [pb.SMS_STATUS_SCHEDULED, pb.SMS_STATUS_CANCELLED]
    await publish_due(mesh)
    assert await Consumer(mesh).claim(message_id) == []
    assert await mesh.states() == {}


async def test_a_repeated_cancel_answers_the_same_and_releases_once(mesh: SmsMesh) -> None:
    (message_id,) = ids_of(await schedule(mesh))
    await schedule(mesh, phone(2))
    first = await cancel(mesh, message_id)
    mesh.clock.pass_ms(2 * HOUR_MS)
    assert await cancel(mesh, message_id) == first
    await mesh.apply_jobs()
    assert await cancel(mesh, message_id) == first
    assert await frozen_after_jobs(mesh) == 1


async def test_a_cancel_that_the_cost_center_did_not_hear_of_is_told_by_its_repeat(mesh: SmsMesh) -> None:
    (message_id,) = ids_of(await schedule(mesh))
    mesh.faults.refuse("BatchSmsReleaseFreezeNum", grpc.StatusCode.ABORTED)
    with refused("SWITCHED_OFF"):
        await cancel(mesh, message_id)
    assert await mesh.statuses() == ["CANCELLED"]
    await cancel(mesh, message_id)
    assert await frozen_after_jobs(mesh) == 0


async def test_a_message_on_its_way_or_done_cannot_be_cancelled(mesh: SmsMesh) -> None:
    consumer = Consumer(mesh)
    (queued,) = ids_of(await mesh.send())
    (due,) = ids_of(await schedule(mesh))
    await publish_due(mesh)
    submitted = await consumer.submitted()
    for message_id in (queued, due, submitted):
        rows = await mesh.rows(tables.record)
        with refused("SMS_NOT_CANCELLABLE") as caught:
            await cancel(mesh, message_id)
        assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
        with refused("SMS_NOT_CANCELLABLE"):
            await cancel_task(mesh, str(message_id))
        assert await mesh.rows(tables.record) == rows


async def test_nobody_cancels_another_brands_messages(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    sent = await schedule(mesh)
    for call in (cancel(mesh, int(sent.task_id), OTHER_BRAND), cancel_task(mesh, sent.task_id, OTHER_BRAND)):
        with refused("SMS_NOT_FOUND"):
            await call
    for call in (cancel(mesh, 1), cancel_task(mesh, "1")):
        with refused("SMS_NOT_FOUND"):
            await call
    assert await mesh.statuses() == ["SCHEDULED"]


async def test_a_task_is_cancelled_as_a_whole(mesh: SmsMesh) -> None:
    await mesh.sms_peer.call(mesh.sms.BlockPhone, pb.BlockPhoneRequest(brand_id=BRAND, phone=phone(2)))
    sent = await schedule(mesh, *map(phone, range(5)))
    assert await mesh.spent_and_frozen() == (0, 4)
    for _ in range(2):
        assert await cancel_task(mesh, sent.task_id) == 4
    assert await frozen_after_jobs(mesh) == 0
    assert await mesh.statuses() == ["CANCELLED", "CANCELLED", "BLOCKED", "CANCELLED", "CANCELLED"]


async def test_a_task_of_which_one_message_was_cancelled_before(mesh: SmsMesh) -> None:
    sent = await schedule(mesh, *map(phone, range(3)), content="x" * 100)
    await cancel(mesh, ids_of(sent)[1])
    assert await cancel_task(mesh, sent.task_id) == 3
    assert await frozen_after_jobs(mesh) == 0


@pytest.mark.parametrize("cancelled", [[0], [1, 3], [0, 1, 2, 3]], ids=str)
async def test_what_is_cancelled_is_not_sent_and_the_rest_is_paid_for(mesh: SmsMesh, cancelled: list[int]) -> None:
    sent = await schedule(mesh, *map(phone, range(4)))
    message_ids = ids_of(sent)
    for position in cancelled:
        await cancel(mesh, message_ids[position])
    await publish_due(mesh)
    claimed = await Consumer(mesh).claim(message_ids[0])
    kept = [one for position, one in enumerate(message_ids) if position not in cancelled]
    assert [one.message_id for dispatch in claimed for one in dispatch.recipients] == kept
    assert await frozen_after_jobs(mesh) == len(kept)


async def test_a_task_that_is_partly_on_its_way_gives_back_only_what_is_not(mesh: SmsMesh) -> None:
    sent = await schedule(mesh, *map(phone, range(2000)))
    first, second = await mesh.states()
    await mesh.set_dispatch(first, look_at_ms=mesh.clock.now_ms)
    await mesh.sweeping.sweep(10)
    assert await mesh.states() == {first: "QUEUED", second: "WAITING"}
    for _ in range(2):
        assert await cancel_task(mesh, sent.task_id) == 1000
    assert await frozen_after_jobs(mesh) == 1000
    assert await mesh.statuses() == ["QUEUED"] * 1000 + ["CANCELLED"] * 1000
    mesh.clock.pass_ms(HOUR_MS)
    assert len((await Consumer(mesh).claim(first))[0].recipients) == 1000
    assert await Consumer(mesh).claim(second) == []


async def test_of_a_cancel_and_the_due_time_one_wins(mesh: SmsMesh) -> None:
    sent = [await schedule(mesh, phone(number)) for number in range(10)]
    mesh.clock.pass_ms(HOUR_MS)
    message_ids = [int(one.task_id) for one in sent]
    cancels, _ = await asyncio.gather(
        asyncio.gather(*(cancel(mesh, one) for one in message_ids), return_exceptions=True),
        mesh.sweeping.sweep(100),
    )
    claimed = {one.dispatch_id for one in await Consumer(mesh).claim(*message_ids)}
    won = {one for one, answer in zip(message_ids, cancels, strict=True) if not isinstance(answer, DomainError)}
    assert claimed | won == set(message_ids)
    assert not claimed & won
    assert await frozen_after_jobs(mesh) == len(claimed)


# Look-ups.


async def test_a_message_is_its_own_brands_alone(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    (message_id,) = ids_of(await mesh.send())
    for wrong_id, brand_id in ((message_id, OTHER_BRAND), (message_id + 1, BRAND), (999_999_999_999_999_999, BRAND)):
        with refused("SMS_NOT_FOUND") as caught:
            await mesh.get(wrong_id, brand_id)
        assert caught.value.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("wrong", ["", "x", "-1", "1" * 19, "1.0"])
async def test_a_message_id_that_is_none(mesh: SmsMesh, wrong: str) -> None:
    with refused("INVALID_REQUEST", "message_id"):
        await mesh.get(wrong)


async def listed(mesh: SmsMesh, page_size: int = 3, **filters: Any) -> list[int]:
    found: list[int] = []
    request = pb.ListSmsRequest(**({"brand_id": BRAND, "page_size": page_size} | filters))
    while True:
        page = await mesh.sms_peer.call(mesh.sms.ListSms, request)
        assert len(page.messages) <= page_size
        found += [int(message.message_id) for message in page.messages]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def test_lists_are_newest_first_in_pages_by_task_phone_and_status(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    many = ids_of(await mesh.send(*map(phone, range(7))))
    one = ids_of(await mesh.send(phone(3)))
    await mesh.send(phone(3), brand_id=OTHER_BRAND)
    rejected = await Consumer(mesh).charged(phone(8))
    await Consumer(mesh).record(rejected, pb.DISPATCH_OUTCOME_REJECTED, "SENSITIVE_WORD")
    all_ids = [*many, *one, rejected]
    for page_size in (1, 3, 9, 10):
        assert await listed(mesh, page_size) == all_ids[::-1]
    assert await listed(mesh, task_id=str(many[0])) == many[::-1]
    assert await listed(mesh, task_id=str(many[1])) == []
    assert await listed(mesh, phone=f"+86 {phone(3)}") == [one[0], many[3]]
    assert await listed(mesh, status=pb.SMS_STATUS_FAILED) == [rejected]
    assert await listed(mesh, status=pb.SMS_STATUS_QUEUED, phone=phone(8)) == []
    assert await listed(mesh, phone=phone(3), task_id=str(many[0]), status=pb.SMS_STATUS_QUEUED) == [many[3]]


async def test_a_rare_status_is_found_beyond_what_one_page_looks_through(
    mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sms_rpc.storage.LIST_SCAN_MAX", 4)
    message_ids = ids_of(await mesh.send(*map(phone, range(20))))
    await mesh.set_record(message_ids[1], status="FAILED")
    await mesh.set_record(message_ids[18], status="FAILED")
    assert await listed(mesh, 1, status=pb.SMS_STATUS_FAILED) == [message_ids[18], message_ids[1]]
    assert await listed(mesh, 1, status=pb.SMS_STATUS_UNKNOWN) == []


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"brand_id": 0}, "brand_id"),
        ({"task_id": "x"}, "task_id"),
        ({"phone": "123"}, "phone"),
        ({"phone": "1" * 25}, "phone"),
        ({"status": 99}, "status"),
        ({"page_size": 1001}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": "WyJ4Il0="}, "page_token"),
        ({"page_token": "W10="}, "page_token"),
        ({"page_token": "é"}, "page_token"),
    ],
)
async def test_a_list_that_cannot_be(mesh: SmsMesh, filters: dict[str, Any], field: str) -> None:
    with refused("INVALID_REQUEST", field):
        await mesh.sms_peer.call(mesh.sms.ListSms, pb.ListSmsRequest(**({"brand_id": BRAND} | filters)))


# The block list.


async def blocked(mesh: SmsMesh, page_size: int = 2) -> list[str]:
    found: list[str] = []
    request = pb.ListBlockedPhonesRequest(brand_id=BRAND, page_size=page_size)
    while True:
        page = await mesh.sms_peer.call(mesh.sms.ListBlockedPhones, request)
        found += [one.phone for one in page.blocked_phones]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def test_the_block_list_is_read_in_pages(mesh: SmsMesh) -> None:
    phones = ["+12015550123", *(e164(number) for number in range(6)), "+85251234567", "+4915123456789", "+33612345678"]
    for one in phones:
        await mesh.sms_peer.call(mesh.sms.BlockPhone, pb.BlockPhoneRequest(brand_id=BRAND, phone=one))
    for page_size in (1, 2, 10):
        assert await blocked(mesh, page_size) == sorted(phones)


async def test_a_repeated_block_answers_with_the_first(mesh: SmsMesh) -> None:
    request = pb.BlockPhoneRequest(brand_id=BRAND, phone=phone(1), reason="asked at the desk")
    first = await mesh.sms_peer.call(mesh.sms.BlockPhone, request)
    mesh.clock.pass_seconds(1)
    again = pb.BlockPhoneRequest(brand_id=BRAND, phone=e164(1), reason="asked again")
    assert await mesh.sms_peer.call(mesh.sms.BlockPhone, again) == first
    for _ in range(2):
        await mesh.sms_peer.call(mesh.sms.UnblockPhone, pb.UnblockPhoneRequest(brand_id=BRAND, phone=e164(1)))
    assert await blocked(mesh) == []


async def test_what_a_brand_may_do_is_changed_by_putting_it_again(mesh: SmsMesh) -> None:
    for international in (True, True, False):
        request = pb.PutSmsBrandRequest(brand_id=BRAND, international=international)
        answer = await mesh.sms_peer.call(mesh.sms.PutSmsBrand, request)
        assert answer == pb.PutSmsBrandResponse(brand_id=BRAND, international=international)
        if international:
            await mesh.send("+12015550123")
    with refused("INVALID_REQUEST", "phones[0]"):
        await mesh.send("+12015550123")
