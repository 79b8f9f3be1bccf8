"""What is refused, by which word and for which field. Nothing of it is stored, frozen or queued."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.errors import VIOLATIONS_MAX
from mesh.timestamps import to_timestamp
from sms_rpc import tables
from tests.sms_rpc.harness import BRAND, CREDITS, DAY_MS, SmsMesh, phone, refused
from tests.sms_rpc.running import running_sms

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_BRAND = 99
WITHOUT_ACCOUNT = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def untouched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SmsMesh]:
    """Start once for all refusals: none of them changes anything."""
    async with running_sms(tmp_path_factory.mktemp("refusals")) as running:
        await running.open_brand()
        await running.messages.put_brand(WITHOUT_ACCOUNT, international=False)
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def mesh(untouched: SmsMesh) -> AsyncIterator[SmsMesh]:
    """Check after each refusal that it left nothing behind, in either service."""
    yield untouched
    account = await untouched.account()
    assert (account.available, account.frozen, account.seq) == (CREDITS, 0, 1)
    for table in (tables.task, tables.record, tables.dispatch, tables.block, tables.uplink):
        assert await untouched.rows(table) == []
    assert await untouched.bus.queues("") == []
    await untouched.is_sound()


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"brand_id": 0}, "brand_id"),
    ({"brand_id": -1}, "brand_id"),
    ({"brand_id": 1 << 53}, "brand_id"),
    ({"request_id": ""}, "request_id"),
    ({"request_id": "x" * 97}, "request_id"),
    ({"request_id": "with space"}, "request_id"),
    ({"request_id": "line\n"}, "request_id"),
    ({"request_id": "nul\0"}, "request_id"),
    ({"request_id": "号"}, "request_id"),
    ({"type": pb.SMS_TYPE_UNSPECIFIED}, "type"),
    ({"type": 99}, "type"),
    ({"content": ""}, "content"),
    ({"content": " \n\t"}, "content"),
    ({"content": "\u3000"}, "content"),
    ({"content": "nul\0"}, "content"),
    ({"content": "escape\x1b"}, "content"),
    ({"signature": ""}, "signature"),
    ({"signature": "A"}, "signature"),
    ({"signature": "x" * 17}, "signature"),
    ({"signature": "   "}, "signature"),
    ({"signature": "【Blue Bay】"}, "signature"),
    ({"signature": "Blue】Bay"}, "signature"),
    ({"signature": "Blue\0Bay"}, "signature"),
]


@pytest.mark.parametrize(("changes", "field"), BAD_FIELDS)
async def test_a_field_that_is_wrong_is_named(mesh: SmsMesh, changes: dict[str, Any], field: str) -> None:
    with refused("INVALID_REQUEST", field):
        await mesh.send(**changes)


@pytest.mark.parametrize(("changes", "field"), BAD_FIELDS)
async def test_a_field_of_a_variable_send_that_is_wrong_is_named(
    mesh: SmsMesh, changes: dict[str, Any], field: str
) -> None:
    if changes.get("content", "").strip():
        changes = changes | {"content": "{$var}{$var}" + changes["content"]}
    with refused("INVALID_REQUEST", field):
        await mesh.send_variable((phone(1), ["Lin", "7"]), **changes)


async def test_all_fields_that_are_wrong_are_named_together(mesh: SmsMesh) -> None:
    with refused("INVALID_REQUEST", "content", "signature", "schedule_time"):
        await mesh.send(content=" ", signature="【\0】", schedule_time=to_timestamp(1))


async def test_text_and_signature_are_too_long_together(mesh: SmsMesh) -> None:
    with refused("INVALID_REQUEST", "content") as caught:
        await mesh.send(content="x" * 532, signature="abc")
    assert "536" in caught.value.message
    with refused("INVALID_REQUEST", "content"):
        await mesh.send(content="x" * 533)


async def test_a_brand_that_is_not_known(mesh: SmsMesh) -> None:
    with refused("BRAND_NOT_FOUND"):
        await mesh.send(brand_id=UNKNOWN_BRAND)
    with refused("BRAND_NOT_FOUND"):
        await mesh.send_variable((phone(1), ["Lin", "7"]), brand_id=UNKNOWN_BRAND)


async def test_a_brand_that_the_cost_center_does_not_know(mesh: SmsMesh) -> None:
    with refused("ACCOUNT_NOT_FOUND"):
        await mesh.send(brand_id=WITHOUT_ACCOUNT)


# Phones.


async def test_no_phone(mesh: SmsMesh) -> None:
    request = mesh.request()
    request.ClearField("phones")
    with refused("INVALID_REQUEST", "phones"):
        await mesh.sms_peer.call(mesh.sms.SendSms, request)
    with refused("INVALID_REQUEST", "recipients"):
        await mesh.send_variable()


BAD_PHONES = [
    "",
    " ",
    "1380000000",
    "138000000000",
    "01012345678",
    "14100000000",
    "phone",
    "138 0000 000a",
    "+",
    "0" * 25,
]


@pytest.mark.parametrize("bad", [*BAD_PHONES, "1380000000\0", "x" * 100_000])
async def test_a_phone_that_is_none(mesh: SmsMesh, bad: str) -> None:
    with refused("INVALID_REQUEST", "phones[1]"):
        await mesh.send(phone(1), bad, phone(2))
    with refused("INVALID_REQUEST", "recipients[1].phone"):
        await mesh.send_variable((phone(1), ["a", "b"]), (bad, ["a", "b"]))


async def test_a_phone_outside_mainland_china(mesh: SmsMesh) -> None:
    with refused("INVALID_REQUEST", "phones[1]") as caught:
        await mesh.send(phone(1), "+12015550123")
    assert "may not send" in caught.value.message


@pytest.mark.parametrize("again", [phone(1), f"+86{phone(1)}", f"0086{phone(1)}", "138-0000-0001", "+86 138 0000 0001"])
async def test_a_phone_that_is_there_twice(mesh: SmsMesh, again: str) -> None:
    with refused("INVALID_REQUEST", "phones[2]") as caught:
        await mesh.send(phone(1), phone(2), again)
    assert "phones[0]" in caught.value.message
    with refused("INVALID_REQUEST", "recipients[1].phone") as caught:
        await mesh.send_variable((phone(1), ["a", "b"]), (again, ["a", "b"]))
    assert "recipients[0].phone" in caught.value.message


async def test_of_very_many_bad_phones_the_first_are_named(mesh: SmsMesh) -> None:
    with refused("INVALID_REQUEST", *(f"phones[{number}]" for number in range(1, 1 + VIOLATIONS_MAX))):
        await mesh.send(phone(1), *["bad"] * 5000)


async def test_more_recipients_than_one_request_may_have(mesh: SmsMesh) -> None:
    with refused("INVALID_REQUEST", "phones"):
        await mesh.send(*map(phone, range(100_001)))
    recipients = [pb.VariableRecipient(phone=phone(number), params=["a"]) for number in range(100_001)]
    with refused("INVALID_REQUEST", "recipients"):
        await mesh.send_variable(content="{$var}", recipients=recipients)


# Schedule.


@pytest.mark.parametrize("offset_ms", [0, -1, -DAY_MS, 30 * DAY_MS + 1, 300 * DAY_MS])
async def test_a_time_that_is_past_or_too_far(mesh: SmsMesh, offset_ms: int) -> None:
    with refused("INVALID_REQUEST", "schedule_time"):
        await mesh.send(schedule_time=to_timestamp(mesh.clock.now_ms + offset_ms))


@pytest.mark.parametrize("past", [Timestamp(), Timestamp(nanos=999_999), Timestamp(seconds=-1), Timestamp(seconds=1)])
async def test_a_time_of_long_ago_is_not_taken_for_none(mesh: SmsMesh, past: Timestamp) -> None:
    with refused("INVALID_REQUEST", "schedule_time"):
        await mesh.send(schedule_time=past)
    with refused("INVALID_REQUEST", "schedule_time"):
        await mesh.send_variable((phone(1), ["Lin", "7"]), schedule_time=past)


# Variable sends.


@pytest.mark.parametrize("content", ["no place", "{$var}" * 21, "{var}", "{$var"])
async def test_a_text_without_places_or_with_too_many(mesh: SmsMesh, content: str) -> None:
    with refused("INVALID_REQUEST", "content"):
        await mesh.send_variable((phone(1), ["a"]), content=content)


async def test_a_place_in_the_signature(mesh: SmsMesh) -> None:
    with refused("INVALID_REQUEST", "signature"):
        await mesh.send_variable((phone(1), ["a", "b"]), content="Dear {$var}", signature="{$var}")


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ([], ""),
        (["Lin"], ""),
        (["Lin", "7", "8"], ""),
        (["a"] * 21, ""),
        (["", "7"], "[0]"),
        (["Lin", " "], "[1]"),
        (["Lin", "\u3000"], "[1]"),
        (["Lin,Ma", "7"], "[0]"),
        (["Lin", "7;8"], "[1]"),
        (["Lin", "7\0"], "[1]"),
        (["\x1b[0m", "7"], "[0]"),
        (["{$var}", "7"], ""),
        (["{$v", "ar}"], ""),
        (["x" * 600, "7"], ""),
    ],
)
async def test_values_that_do_not_fit_their_places(mesh: SmsMesh, params: list[str], path: str) -> None:
    content = "Dear {$var}{$var}" if params == ["{$v", "ar}"] else "Dear {$var}, table {$var} is ready"
    with refused("INVALID_REQUEST", f"recipients[1].params{path}"):
        await mesh.send_variable((phone(1), ["Lin", "7"]), (phone(2), params), content=content)


async def test_every_recipient_whose_values_do_not_fit_is_named(mesh: SmsMesh) -> None:
    with refused("INVALID_REQUEST", "recipients[0].params", "recipients[2].params[1]"):
        await mesh.send_variable((phone(1), []), (phone(2), ["a", "b"]), (phone(3), ["a", ""]))


# Items of a batch.


async def test_a_batch_of_no_request_or_too_many(mesh: SmsMesh) -> None:
    for requests in ([], [mesh.request()] * 1001):
        with refused("INVALID_REQUEST", "requests"):
            await mesh.sms_peer.call(mesh.sms.BatchSendSms, pb.BatchSendSmsRequest(requests=requests))


# The block list.


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"phone": "123"}, "phone"),
        ({"phone": ""}, "phone"),
        ({"brand_id": 0}, "brand_id"),
        ({"reason": "x" * 129}, "reason"),
        ({"reason": "nul\0"}, "reason"),
        ({"reason": "bell\a"}, "reason"),
    ],
)
async def test_a_block_that_is_wrong(mesh: SmsMesh, changes: dict[str, Any], field: str) -> None:
    fields: dict[str, Any] = {"brand_id": BRAND, "phone": phone(1), "reason": "asked at the desk"}
    with refused("INVALID_REQUEST", field):
        await mesh.sms_peer.call(mesh.sms.BlockPhone, pb.BlockPhoneRequest(**(fields | changes)))


async def test_a_block_for_a_brand_that_is_not_known(mesh: SmsMesh) -> None:
    with refused("BRAND_NOT_FOUND"):
        request = pb.BlockPhoneRequest(brand_id=UNKNOWN_BRAND, phone=phone(1))
        await mesh.sms_peer.call(mesh.sms.BlockPhone, request)
