"""Messages from handsets: each kept once, parts joined, an unsubscribe taken for the brand that wrote last."""

from __future__ import annotations

from typing import Any

import pytest

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.timestamps import to_timestamp
from sms_rpc import tables
from tests.sms_rpc.consumer import Consumer
from tests.sms_rpc.harness import BRAND, DAY_MS, HOUR_MS, OTHER_BRAND, SmsMesh, e164, ids_of, phone, refused


def uplink(content: str, number: int = 1, **changes: Any) -> pb.SmsUplink:
    fields: dict[str, Any] = {"phone": e164(number), "destination": "10690000", "sent_at": "2611211500"}
    return pb.SmsUplink(content=content, **(fields | changes))


def part(content: str, number: int, count: int, **changes: Any) -> pb.SmsUplink:
    fields: dict[str, Any] = {"part_group": "17", "part_number": number, "part_count": count}
    return uplink(content, **(fields | changes))


async def record(mesh: SmsMesh, *uplinks: pb.SmsUplink) -> int:
    request = pb.RecordUplinksRequest(uplinks=uplinks)
    return (await mesh.sms_peer.call(mesh.dispatches.RecordUplinks, request)).blocked_count


async def contents(mesh: SmsMesh) -> list[str]:
    return [row["content"] for row in await mesh.rows(tables.uplink)]


async def blocked(mesh: SmsMesh, brand_id: int = BRAND) -> list[tuple[str, str]]:
    request = pb.ListBlockedPhonesRequest(brand_id=brand_id)
    answer = await mesh.sms_peer.call(mesh.sms.ListBlockedPhones, request)
    return [(one.phone, one.reason) for one in answer.blocked_phones]


async def write_to(mesh: SmsMesh, number: int = 1, brand_id: int = BRAND) -> int:
    """Submit a message to a phone."""
    (message_id,) = ids_of(await mesh.send(phone(number), brand_id=brand_id))
    await submit(mesh, message_id)
    return message_id


async def submit(mesh: SmsMesh, message_id: int) -> None:
    consumer = Consumer(mesh)
    await consumer.claim(message_id)
    assert await consumer.charge(message_id) == [message_id]
    await consumer.record(message_id, pb.DISPATCH_OUTCOME_SUBMITTED)


# What is kept.


async def test_a_message_is_kept_with_the_brand_that_wrote_last(mesh: SmsMesh) -> None:
    await write_to(mesh)
    assert await record(mesh, uplink("Thank you")) == 0
    (row,) = await mesh.rows(tables.uplink)
    assert (row["brand_id"], row["phone"], row["content"]) == (BRAND, e164(1), "Thank you")
    assert row["received_at_ms"] == mesh.clock.now_ms


async def test_a_message_from_a_phone_that_nobody_wrote_to_is_kept(mesh: SmsMesh) -> None:
    assert await record(mesh, uplink("TD")) == 0
    assert await contents(mesh) == ["TD"]
    assert await mesh.rows(tables.block) == []


async def test_a_message_that_is_pushed_twice_is_kept_once(mesh: SmsMesh) -> None:
    await record(mesh, uplink("Hello"), uplink("Hello"))
    await record(mesh, uplink("Hello"))
    await record(mesh, uplink("Hello", sent_at="2611211501"), uplink("Hello", 2), uplink("Hello", destination="1"))
    assert await contents(mesh) == ["Hello"] * 4


async def test_a_text_is_kept_without_the_nul_that_postgresql_cannot_store(mesh: SmsMesh) -> None:
    await write_to(mesh)
    assert await record(mesh, uplink("T\0D"), part("a\0", 1, 2), part("b", 2, 2)) == 1
    assert await contents(mesh) == ["TD", "ab"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"phone": ""}, "uplinks[0].phone"),
        ({"content": "x" * 2001}, "uplinks[0].content"),
        ({"destination": "1" * 33}, "uplinks[0].destination"),
        ({"sent_at": "1" * 33}, "uplinks[0].sent_at"),
        ({"part_group": "1" * 65}, "uplinks[0].part_group"),
        ({"part_number": 256}, "uplinks[0].part_number"),
        ({"part_count": -1}, "uplinks[0].part_count"),
    ],
)
async def test_a_message_is_bounded(mesh: SmsMesh, changes: dict[str, Any], field: str) -> None:
    fields: dict[str, Any] = {"phone": e164(1), "content": "Hello"}
    with refused("INVALID_REQUEST", field):
        await record(mesh, pb.SmsUplink(**(fields | changes)))
    assert await mesh.rows(tables.uplink) == []


# Parts.


async def test_parts_are_joined_in_their_order_whenever_each_comes(mesh: SmsMesh) -> None:
    await record(mesh, part("c", 3, 3), part("a", 1, 3))
    assert await contents(mesh) == []
    mesh.clock.pass_seconds(60)
    await record(mesh, part("b", 2, 3))
    assert await contents(mesh) == ["abc"]


async def test_parts_that_are_pushed_again_make_no_other_message(mesh: SmsMesh) -> None:
    first, second = part("a", 1, 2, sent_at="2611211500"), part("b", 2, 2, sent_at="2611211501")
    await record(mesh, first, first, second)
    mesh.clock.pass_seconds(60)
    await record(mesh, first)
    await record(mesh, second, first)
    assert await contents(mesh) == ["ab"]


async def test_parts_are_one_phones_and_one_groups(mesh: SmsMesh) -> None:
    await record(mesh, part("a", 1, 2), part("b", 2, 2, phone=e164(2)), part("b", 2, 2, part_group="18"))
    assert await contents(mesh) == []


async def test_a_group_that_is_used_again_is_another_message(mesh: SmsMesh) -> None:
    """Handsets number long messages by one octet or two, and begin anew."""
    await record(mesh, part("a", 1, 2), part("b", 2, 2))
    mesh.clock.pass_ms(2 * DAY_MS)
    later = {"sent_at": "2611231500"}
    await record(mesh, part("c", 1, 2, **later))
    assert await contents(mesh) == ["ab"]
    await record(mesh, part("d", 2, 2, **later))
    assert await contents(mesh) == ["ab", "cd"]


async def test_a_part_whose_others_never_came_does_not_spoil_a_later_message(mesh: SmsMesh) -> None:
    await record(mesh, part("lost", 2, 2))
    mesh.clock.pass_ms(2 * DAY_MS)
    await record(mesh, part("c", 1, 2))
    assert await contents(mesh) == []
    await record(mesh, part("d", 2, 2))
    assert await contents(mesh) == ["cd"]


async def test_an_unsubscribe_in_parts_counts(mesh: SmsMesh) -> None:
    await write_to(mesh)
    assert await record(mesh, part("退", 1, 2)) == 0
    assert await record(mesh, part("订", 2, 2)) == 1
    assert await blocked(mesh) == [(e164(1), "unsubscribed by message")]


# Unsubscribing.


@pytest.mark.parametrize("word", ["T", "t", "TD", "td", " Td ", "退订", "退订\n", "TD退订", "t退订", "\u3000退订"])
async def test_an_unsubscribe_blocks_the_phone(mesh: SmsMesh, word: str) -> None:
    await write_to(mesh)
    assert await record(mesh, uplink(word)) == 1
    assert await blocked(mesh) == [(e164(1), "unsubscribed by message")]
    with refused("RECIPIENT_BLOCKED"):
        await mesh.send(phone(1))
    assert (await mesh.send(phone(1), type=pb.SMS_TYPE_VERIFICATION)).accepted_count == 1


@pytest.mark.parametrize("text", ["Thanks", "TDD", "T D", "不退订", "退 订", "", " ", "T."])
async def test_any_other_text_does_not(mesh: SmsMesh, text: str) -> None:
    await write_to(mesh)
    assert await record(mesh, uplink(text)) == 0
    assert await blocked(mesh) == []


async def test_an_unsubscribe_is_for_the_brand_that_wrote_last(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    await write_to(mesh)
    mesh.clock.pass_seconds(1)
    await write_to(mesh, brand_id=OTHER_BRAND)
    await write_to(mesh, 2)
    assert await record(mesh, uplink("TD")) == 1
    assert (await blocked(mesh), await blocked(mesh, OTHER_BRAND)) == (
        [],
        [(e164(1), "unsubscribed by message")],
    )


async def test_what_was_not_sent_is_no_writing(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    await write_to(mesh)
    mesh.clock.pass_seconds(1)
    consumer = Consumer(mesh)
    scheduled = await mesh.send(phone(1), brand_id=OTHER_BRAND, schedule_time=to_timestamp(mesh.clock.now_ms + HOUR_MS))
    (unpaid,) = ids_of(await mesh.send(phone(1), brand_id=OTHER_BRAND))
    await consumer.claim(unpaid)
    await consumer.record(unpaid, pb.DISPATCH_OUTCOME_UNPAID, "INSUFFICIENT_CREDIT")
    await mesh.send(phone(1), brand_id=OTHER_BRAND)
    assert await record(mesh, uplink("TD")) == 1
    assert await blocked(mesh, OTHER_BRAND) == []
    mesh.clock.pass_ms(HOUR_MS)
    await submit(mesh, ids_of(scheduled)[0])
    assert await record(mesh, uplink("TD", sent_at="2611211700")) == 1
    assert len(await blocked(mesh, OTHER_BRAND)) == 1


async def test_a_message_that_was_accepted_before_and_sent_later_is_the_last(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    scheduled = await mesh.send(phone(1), schedule_time=to_timestamp(mesh.clock.now_ms + HOUR_MS))
    await write_to(mesh, brand_id=OTHER_BRAND)
    mesh.clock.pass_ms(HOUR_MS)
    await submit(mesh, ids_of(scheduled)[0])
    assert await record(mesh, uplink("TD")) == 1
    assert len(await blocked(mesh)) == 1


async def test_a_repeated_unsubscribe_does_not_undo_what_an_operator_did_since(mesh: SmsMesh) -> None:
    await write_to(mesh)
    await record(mesh, uplink("TD"))
    await mesh.sms_peer.call(mesh.sms.UnblockPhone, pb.UnblockPhoneRequest(brand_id=BRAND, phone=phone(1)))
    assert await record(mesh, uplink("TD")) == 0
    assert await blocked(mesh) == []
    assert await record(mesh, uplink("TD", sent_at="2611221500")) == 1


async def test_a_block_that_is_there_keeps_its_reason(mesh: SmsMesh) -> None:
    await write_to(mesh)
    request = pb.BlockPhoneRequest(brand_id=BRAND, phone=phone(1), reason="asked at the desk")
    await mesh.sms_peer.call(mesh.sms.BlockPhone, request)
    await record(mesh, uplink("TD"))
    assert await blocked(mesh) == [(e164(1), "asked at the desk")]
