"""An IM call from the REST call to the screen in the kitchen, through real processes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from meshctl.app import Json
from tests.chain.harness import Chain, eventually
from tests.chain.im import ORDER, Shop, at_ms, open_shop, screen, texts

pytestmark = pytest.mark.asyncio(loop_scope="session")

LATE_MS_MAX = 3000
"""How late a message may be on a machine that runs other tests beside."""


@pytest_asyncio.fixture(loop_scope="session")
async def shop(healed: Chain) -> Shop:
    return await open_shop(healed)


async def test_an_order_is_spoken_in_kitchen_and_on_call_screen(shop: Shop) -> None:
    kitchen, hall = await shop.device("kitchen", "kitchen"), await shop.device("hall", "call_screen")
    await shop.configure("kitchen", "call_screen")
    answer = await shop.call("kitchen", "call_screen")
    assert (answer["recordCount"], answer["skippedChannels"]) == (2, [])
    assert {record["status"] for record in await shop.ended(answer["callId"])} == {"sent"}
    for account in (kitchen, hall):
        assert texts(await shop.screen(account)) == ["801房间下单了水饺2份,请注意"]


async def test_two_channels_three_times_are_six_rows_at_their_intervals(shop: Shop) -> None:
    accounts = [await shop.device("kitchen", "kitchen"), await shop.device("hall", "call_screen")]
    await shop.configure("kitchen", "call_screen", repeatCount=3, intervalSeconds=2, firstDelaySeconds=1)
    call_id = (await shop.call("kitchen", "call_screen"))["callId"]
    records = await shop.ended(call_id)
    assert [record["status"] for record in records] == ["sent"] * 6
    due = sorted({at_ms(record["dueTime"]) for record in records})
    assert [later - first for first, later in pairwise(due)] == [2000, 2000]
    for account in accounts:
        arrivals = [message["received_at_ms"] for message in await shop.screen(account)]
        assert len(arrivals) == 3
        assert all(0 <= came - wanted < LATE_MS_MAX for came, wanted in zip(arrivals, due, strict=True))


async def test_a_repeat_of_the_request_calls_once(shop: Shop) -> None:
    kitchen = await shop.device("kitchen", "kitchen")
    await shop.configure("kitchen")
    body = shop.body("kitchen")
    answers = await asyncio.gather(*(shop.app.ok("POST", "/imCalls", body) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    await shop.ended(answers[0]["callId"])
    assert len(await shop.screen(kitchen)) == 1
    status, problem = await shop.app.call("POST", "/imCalls", {**body, "callParams": {}})
    assert (status, problem["reason"]) == (409, "KEY_REUSED")


async def test_a_technician_who_clocks_off_meanwhile_hears_nothing(shop: Shop) -> None:
    technician = await shop.device("phone", "technician", technicianId=f"t{shop.shop_id}")
    await shop.configure("technician", repeatCount=2, intervalSeconds=2)

    async def clock_off_after_the_first() -> tuple[list[Json], int, float]:
        """Answer the records of a call, how many of them were heard, and when the clock-off was answered."""
        heard = len(await shop.screen(technician))
        await shop.app.ok("POST", f"/technicians/t{shop.shop_id}:clockOn")
        call_id = (await shop.call("technician"))["callId"]
        await eventually(lambda: shop.screen(technician), lambda messages: len(messages) > heard, 10)
        await shop.app.ok("POST", f"/technicians/t{shop.shop_id}:clockOff")
        answered_at_ms = time.time() * 1000
        records = await shop.ended(call_id)
        return records, len(await shop.screen(technician)) - heard, answered_at_ms

    for _ in range(3):
        (first, second), heard, answered_at_ms = await clock_off_after_the_first()
        if answered_at_ms < at_ms(second["dueTime"]):
            break  # Otherwise the machine stalled, and either end is right.
    assert first["status"] == "sent"
    assert (second["status"], second["reason"]) == ("skipped", "TECHNICIAN_CLOCKED_OFF")
    assert heard == 1


async def test_a_cancel_stops_the_repeats_that_are_left(shop: Shop) -> None:
    kitchen = await shop.device("kitchen", "kitchen")
    await shop.configure("kitchen", repeatCount=3, intervalSeconds=30)
    call_id = (await shop.call("kitchen"))["callId"]
    await eventually(lambda: shop.screen(kitchen), bool, 10)
    cancelled = await shop.app.ok("POST", f"/imCalls/{call_id}:cancel")
    assert cancelled["cancelledCount"] == 2
    assert await shop.app.ok("POST", f"/imCalls/{call_id}:cancel") == cancelled
    records = await shop.ended(call_id)
    assert [record["status"] for record in records] == ["sent", "cancelled", "cancelled"]
    assert len(await shop.screen(kitchen)) == 1


async def test_whenever_a_cancel_comes_what_it_counts_is_never_heard(shop: Shop) -> None:
    kitchen = await shop.device("kitchen", "kitchen")
    await shop.configure("kitchen", repeatCount=3, intervalSeconds=1)

    async def call_and_cancel(number: int) -> tuple[str, str, int]:
        name = f"#{number}"
        call_id = (await shop.call("kitchen", params={**ORDER, "roomName": name}))["callId"]
        await asyncio.sleep(number * 0.06)
        return name, call_id, (await shop.app.ok("POST", f"/imCalls/{call_id}:cancel"))["cancelledCount"]

    cancels = await asyncio.gather(*(call_and_cancel(number) for number in range(40)))
    assert len({count for _, _, count in cancels}) > 1, "all came at the same point of their calls"
    for _, call_id, count in cancels:
        counts = Counter(record["status"] for record in await shop.ended(call_id))
        assert counts == Counter(cancelled=count, sent=3 - count)
    heard = Counter(text.partition("房间")[0] for text in texts(await shop.screen(kitchen)))
    assert heard == Counter({name: 3 - count for name, _, count in cancels})


@pytest.mark.parametrize("msg_type", ["broadcast", "refresh"])
@pytest.mark.parametrize("character", ["a", "水", "👍", '"', "\\", "\n"])
async def test_the_largest_message_that_is_accepted_is_one_that_tencent_takes(
    shop: Shop, msg_type: str, character: str
) -> None:
    await shop.device("kitchen", "kitchen")
    await shop.configure("kitchen")

    async def try_size(size: int) -> str:
        params = {**ORDER, "goodsName": character * size}
        status, answer = await shop.app.call("POST", "/imCalls", shop.body("kitchen", params=params, MsgType=msg_type))
        assert status in {200, 400}, answer
        return str(answer.get("callId", ""))

    accepted, refused, largest = 0, 12_289, ""
    while refused - accepted > 1:
        size = (accepted + refused) // 2
        call_id = await try_size(size)
        accepted, refused, largest = (size, refused, call_id) if call_id else (accepted, size, largest)
    (record,) = await shop.ended(largest)
    assert (record["status"], record["reason"]) == ("sent", "")


async def test_a_missing_parameter_fails_with_its_name_and_nothing_is_spoken(shop: Shop) -> None:
    kitchen = await shop.device("kitchen", "kitchen")
    await shop.configure("kitchen")
    params = {name: value for name, value in ORDER.items() if name != "num"}
    (record,) = await shop.ended((await shop.call("kitchen", params=params))["callId"])
    assert (record["status"], record["reason"], record["detail"]) == ("failed", "MISSING_PARAMETER", "num")
    assert await shop.screen(kitchen) == []


async def test_a_refresh_needs_no_configuration_and_carries_the_event(shop: Shop) -> None:
    kitchen = await shop.device("kitchen", "kitchen")
    answer = await shop.call("kitchen", event="catering_cancelled", MsgType="refresh")
    await shop.ended(answer["callId"])
    (message,) = await shop.screen(kitchen)
    assert '"event":"catering_cancelled"' in str(message).replace(" ", "")


async def test_cash_desks_share_one_account_and_a_moved_pad_keeps_its_own(shop: Shop) -> None:
    desks = {await shop.device(name, "cash_desk") for name in ("left", "right")}
    assert len(desks) == 1
    pad = await shop.device("pad", "room_pad")
    moved = await shop.app.ok(
        "PUT", f"/imDevices/pad-{shop.shop_id}", {"shopId": shop.shop_id, "channel": "room_pad", "location": "802"}
    )
    assert (moved["device"]["account"], moved["device"]["location"]) == (pad, "802")
    await shop.configure("cash_desk", "room_pad")
    pads = [{"channel": "room_pad", "location": "802"}]
    answer = await shop.call("cash_desk", "room_pad", designatedList=pads)
    assert answer["recordCount"] == 2
    await shop.ended(answer["callId"])
    assert [len(await shop.screen(account)) for account in (*desks, pad)] == [1, 1]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("txim_lose_response", {}),
        ("txim_error", {"code": 60008, "accepted": True}),
        ("txim_error", {"code": 60008}),
        ("txim_http_error", {"accepted": True}),
        ("txim_error", {"code": 70001}),
        ("txim_error", {"code": 20004}),
        ("txim_forget_account", {}),
        ("txim_slow_answer", {"delay_seconds": 1}),
    ],
    ids=str,
)
async def test_whatever_tencent_does_a_message_arrives_once(shop: Shop, kind: str, fields: dict[str, Any]) -> None:
    kitchen = await shop.device("kitchen", "kitchen")
    await shop.configure("kitchen")
    await shop.chain.fault(kind, count=1, **fields)
    (record,) = await shop.ended((await shop.call("kitchen"))["callId"], timeout_seconds=40)
    assert (record["status"], record["text"]) == ("sent", "801房间下单了水饺2份,请注意")
    assert len(await shop.screen(kitchen)) == 1


async def test_many_accounts_of_one_content_go_out_together(shop: Shop) -> None:
    accounts = [await shop.device(f"pad-{number}", "room_pad") for number in range(60)]
    await shop.configure("room_pad")
    before = await shop.chain.txim_stats()
    answer = await shop.call("room_pad")
    assert answer["recordCount"] == 60
    await shop.ended(answer["callId"])
    after = await shop.chain.txim_stats()
    assert after["calls"]["batchsendmsg"] - before["calls"].get("batchsendmsg", 0) == 1
    counts = Counter(message["account"] for message in await screen(shop.chain))
    assert [counts[account] for account in accounts] == [1] * 60


async def test_bad_input_is_refused_with_its_field_and_nothing_is_stored(shop: Shop) -> None:
    await shop.device("kitchen", "kitchen")
    stranger = shop.chain.apps[1]
    theirs = await stranger.ok("PUT", "/imDevices/theirs", {"shopId": shop.shop_id, "channel": "kitchen"})
    made = await stranger.ok("POST", "/imTemplates", {"requestId": "theirs", "name": "x", "content": "x"})
    their_template = made["template"]["templateId"]
    designated = [{"channel": "kitchen", "account": theirs["device"]["account"]}]
    for change, field in (
        ({"event": "flood"}, "event"),
        ({"Channels": ["cellar"]}, "Channels[0]"),
        ({"Channels": []}, "Channels"),
        ({"MsgType": 9}, "MsgType"),
        ({"MsgType": "pad_call"}, "msgTemplateId"),
        ({"MsgType": "pad_call", "msgTemplateId": their_template}, "msgTemplateId"),
        ({"designatedList": designated}, "designatedList[0].account"),
        ({"callParams": {"roomName": "8" * 12_288}, "MsgType": "refresh"}, "callParams"),
    ):
        status, problem = await shop.app.call("POST", "/imCalls", {**shop.body("kitchen"), **change})
        assert (status, problem["reason"]) == (400, "INVALID_REQUEST"), problem
        assert problem["violations"][0]["field"] == field
    calls = await shop.app.ok("GET", "/imCalls", None, shopId=str(shop.shop_id))
    assert calls["calls"] == []
