"""What a call becomes: by its type, the configuration, the devices and whom it designates."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from brandmesh.messagecenter.v1 import im_call_pb2
from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from mesh.errors import DomainError
from messagecenter_rpc import storage, tables
from tests.messagecenter_rpc.harness import (
    BRAND,
    BROADCAST,
    CALL_SCREEN,
    CASH_DESK,
    KITCHEN,
    NOTIFICATION,
    OTHER_BRAND,
    OTHER_SHOP,
    PAD_CALL,
    REFRESH,
    ROOM_PAD,
    SHOP,
    TECHNICIAN,
    MessageCenter,
    record_ids_of,
    refused,
    skipped,
)

TYPES = [BROADCAST, REFRESH, NOTIFICATION, PAD_CALL]


def quiet_now(center: MessageCenter) -> pb.QuietHours:
    """Make quiet hours of twelve hours, in UTC, that hold now."""
    hour = center.clock.now_ms // 3_600_000 % 24
    return pb.QuietHours(start=f"{(hour - 6) % 24:02}:00", end=f"{(hour + 6) % 24:02}:00", time_zone="UTC")


# What each type does with: no configuration, one that is switched off, one without a template, one in quiet hours, one
# that says three times. A number is records; a call names a template only where its type needs one.
@pytest.mark.parametrize(
    ("msg_type", "expected"),
    [
        (BROADCAST, ("NOT_CONFIGURED", "SWITCHED_OFF", "NOT_CONFIGURED", "QUIET_HOURS", 3)),
        (NOTIFICATION, ("NOT_CONFIGURED", "SWITCHED_OFF", "NOT_CONFIGURED", "QUIET_HOURS", 3)),
        (REFRESH, (1, "SWITCHED_OFF", 1, 1, 1)),
        (PAD_CALL, (1, "SWITCHED_OFF", 1, 1, 3)),
    ],
)
async def test_a_type_follows_the_configuration_in_its_own_way(
    center: MessageCenter, msg_type: int, expected: tuple[int | str, ...]
) -> None:
    template_id = await center.template()
    own = {"msgTemplateId": template_id} if msg_type == PAD_CALL else {}
    await center.device()

    async def sent(**config: Any) -> int | str:
        if config:
            await center.configure(**config)
        response = await center.send(MsgType=msg_type, **own)
        return skipped(response).get(KITCHEN, "") or response.record_count

    assert expected == (
        await sent(),
        await sent(enabled=False, template_id=template_id),
        await sent(template_id=0),
        await sent(template_id=template_id, quiet_hours=quiet_now(center)),
        await sent(template_id=template_id, repeat_count=3, interval_seconds=60),
    )


@pytest.mark.parametrize("msg_type", TYPES)
async def test_a_shop_without_devices_gets_nothing(center: MessageCenter, msg_type: int) -> None:
    template_id = await center.template()
    await center.configure(template_id=template_id)
    await center.device(shop_id=OTHER_SHOP)
    await center.device(channel=CALL_SCREEN)
    await center.device(brand_id=OTHER_BRAND)
    response = await center.send(MsgType=msg_type, msgTemplateId=template_id)
    assert skipped(response) == {KITCHEN: "NO_DEVICE"}
    assert response.record_count == 0
    assert (await center.get(response.call_id)).call.record_count == 0


async def test_two_channels_three_times_are_six_records_at_rising_times(center: MessageCenter) -> None:
    template_id = await center.template()
    schedule = {"repeat_count": 3, "interval_seconds": 60, "first_delay_seconds": 5, "template_id": template_id}
    await center.configure(KITCHEN, **schedule)
    await center.configure(CALL_SCREEN, **schedule)
    kitchen, screen = await center.device(channel=KITCHEN), await center.device(channel=CALL_SCREEN)

    response = await center.send(KITCHEN, CALL_SCREEN)
    assert response.record_count == 6
    ids = record_ids_of(response)
    rows = await center.rows()
    assert [row["record_id"] for row in rows] == ids
    now_ms = center.clock.now_ms
    assert [(row["due_at_ms"] - now_ms, row["channel"], row["repeat_number"], row["account"]) for row in rows] == [
        (5_000, KITCHEN, 1, kitchen.account),
        (5_000, CALL_SCREEN, 1, screen.account),
        (65_000, KITCHEN, 2, kitchen.account),
        (65_000, CALL_SCREEN, 2, screen.account),
        (125_000, KITCHEN, 3, kitchen.account),
        (125_000, CALL_SCREEN, 3, screen.account),
    ]
    assert len({row["msg_random"] for row in rows}) == 6
    assert {row["status"] for row in rows} == {"QUEUED"}

    # Each content has a message of its own, at its time.
    for position in range(0, 6, 2):
        assert await center.due_ids() == []
        center.clock.pass_seconds(5 if position == 0 else 60)
        assert sorted(await center.due_ids()) == [[ids[position]], [ids[position + 1]]]


async def test_records_of_one_content_share_a_random_number_and_messages_of_a_hundred(center: MessageCenter) -> None:
    for _ in range(120):
        await center.device(channel=ROOM_PAD)
    await center.device(channel=KITCHEN)
    response = await center.send(ROOM_PAD, KITCHEN, MsgType=REFRESH)
    ids = record_ids_of(response)
    assert sorted(await center.due_ids()) == [ids[:100], ids[100:120], ids[120:]]
    numbers = [row["msg_random"] for row in await center.rows()]
    assert len(set(numbers[:120])) == 1
    assert numbers[120] != numbers[0]
    assert all(0 < number < 1 << 32 for number in numbers)


async def test_a_switch_that_is_off_needs_no_template_to_say_so(center: MessageCenter) -> None:
    await center.device()
    await center.configure(enabled=False)
    assert skipped(await center.send()) == {KITCHEN: "SWITCHED_OFF"}


async def test_a_shops_own_configuration_stands_before_its_brands(center: MessageCenter) -> None:
    of_brand, of_shop = await center.template("brand"), await center.template("shop")
    await center.device()
    await center.device(shop_id=OTHER_SHOP)
    await center.configure(template_id=of_brand, enabled=False)
    await center.configure(template_id=of_shop, shop_id=SHOP, repeat_count=2, interval_seconds=1)
    assert (await center.send()).record_count == 2
    assert {row["template_id"] for row in await center.rows()} == {of_shop}
    assert skipped(await center.send(shopId=OTHER_SHOP)) == {KITCHEN: "SWITCHED_OFF"}

    await center.configure(template_id=of_brand)
    await center.configure(template_id=of_shop, shop_id=SHOP, enabled=False)
    assert skipped(await center.send()) == {KITCHEN: "SWITCHED_OFF"}
    assert (await center.send(shopId=OTHER_SHOP)).record_count == 1


async def test_an_own_template_takes_the_place_of_the_configured_one(center: MessageCenter) -> None:
    configured, own = await center.template("configured"), await center.template("own")
    await center.device()
    await center.configure(template_id=configured)
    await center.send(msgTemplateId=own)
    await center.configure(template_id=0)
    await center.send(msgTemplateId=own)
    await center.send(MsgType=REFRESH, msgTemplateId=own)
    assert [row["template_id"] for row in await center.rows()] == [own, own, 0]


async def test_times_in_the_quiet_hours_are_left_out_and_the_others_keep_their_numbers(center: MessageCenter) -> None:
    start_ms = center.clock.now_ms // 3_600_000 * 3_600_000
    hour = start_ms // 3_600_000 % 24
    center.clock.now_ms = start_ms + 30 * 60_000
    quiet = pb.QuietHours(start=f"{(hour + 1) % 24:02}:00", end=f"{(hour + 2) % 24:02}:00", time_zone="UTC")
    await center.configure(
        template_id=await center.template(), repeat_count=4, interval_seconds=1800, quiet_hours=quiet
    )
    await center.device()
    assert (await center.send()).record_count == 2
    rows = await center.rows()
    assert [(row["repeat_number"], row["due_at_ms"] - start_ms) for row in rows] == [(1, 1_800_000), (4, 7_200_000)]


async def test_the_cash_desks_of_a_shop_get_one_message(center: MessageCenter) -> None:
    desks = [await center.device(channel=CASH_DESK) for _ in range(3)]
    assert len({desk.account for desk in desks}) == 1
    await center.refresh(CASH_DESK)
    assert [row["account"] for row in await center.rows()] == [desks[0].account]


async def test_designated_accounts_narrow_their_channel_alone(center: MessageCenter) -> None:
    pads = [await center.device(channel=ROOM_PAD, location=f"80{number}") for number in range(4)]
    second = await center.device(channel=ROOM_PAD, location="800")
    kitchen = await center.device(channel=KITCHEN)
    designated = [
        im_call_pb2.DesignatedAccount(channel=ROOM_PAD, account=pads[3].account),
        im_call_pb2.DesignatedAccount(channel=ROOM_PAD, location="800"),
        im_call_pb2.DesignatedAccount(channel=ROOM_PAD, account=pads[3].account),
        im_call_pb2.DesignatedAccount(channel=ROOM_PAD, location="803"),
    ]
    await center.refresh(ROOM_PAD, KITCHEN, designatedList=designated)
    assert [(row["account"], row["location"]) for row in await center.rows()] == [
        (pads[3].account, ""),
        (pads[0].account, "800"),
        (second.account, "800"),
        (kitchen.account, ""),
    ]


async def test_a_call_of_which_every_channel_is_skipped_is_stored_and_answered_again(center: MessageCenter) -> None:
    request = center.request(KITCHEN, TECHNICIAN)
    first = await center.peer.call(center.calls.SendImCall, request)
    assert skipped(first) == {KITCHEN: "NOT_CONFIGURED", TECHNICIAN: "NOT_CONFIGURED"}
    await center.device()
    await center.configure(template_id=await center.template())
    assert await center.peer.call(center.calls.SendImCall, request) == first
    assert await center.rows() == []
    stored = (await center.get(first.call_id)).call
    assert list(stored.skipped_channels) == list(first.skipped_channels)
    assert list(stored.channels) == [KITCHEN, TECHNICIAN]


async def test_a_repeat_is_answered_as_the_first_and_another_body_is_refused(center: MessageCenter) -> None:
    await center.device()
    request = center.request(MsgType=REFRESH)
    first = await center.peer.call(center.calls.SendImCall, request)
    await center.device()
    assert await center.peer.call(center.calls.SendImCall, request) == first
    assert len(await center.rows(tables.call)) == 1
    for changes in (
        {"shopId": OTHER_SHOP},
        {"Channels": [CASH_DESK]},
        {"callParams": {"a": "b"}},
        {"event": im_call_pb2.ENUM_IM_CALL_EVENT_ROOM_CLEANING},
        {"designatedList": [im_call_pb2.DesignatedAccount(channel=KITCHEN, location="x")]},
    ):
        with refused("KEY_REUSED"):
            await center.send(**{"MsgType": REFRESH, "request_id": request.request_id, **changes})
    # Another brand's request ids are its own.
    await center.device(brand_id=OTHER_BRAND)
    other = await center.send(MsgType=REFRESH, brandId=OTHER_BRAND, request_id=request.request_id)
    assert other.call_id != first.call_id


async def test_the_order_of_parameters_makes_no_other_body(center: MessageCenter) -> None:
    await center.device()
    params = {f"name{number}": str(number) for number in range(20)}
    request = center.request(MsgType=REFRESH, callParams=params)
    first = await center.peer.call(center.calls.SendImCall, request)
    again = center.request(MsgType=REFRESH, callParams=dict(reversed(params.items())), request_id=request.request_id)
    assert await center.peer.call(center.calls.SendImCall, again) == first


async def test_many_repeats_at_once_make_one_call(center: MessageCenter) -> None:
    await center.device()
    request = center.request(MsgType=REFRESH)
    answers = await asyncio.gather(*(center.peer.call(center.calls.SendImCall, request) for _ in range(30)))
    assert len({answer.call_id for answer in answers}) == 1
    assert len(await center.rows(tables.call)) == 1
    assert len(await center.rows()) == 1


async def test_items_of_a_batch_are_answered_in_order_and_fail_alone(center: MessageCenter) -> None:
    await center.device()
    await center.device(brand_id=OTHER_BRAND)
    requests = [
        center.request(MsgType=REFRESH),
        center.request(MsgType=REFRESH, shopId=0),
        center.request(MsgType=REFRESH, brandId=OTHER_BRAND),
        center.request(MsgType=PAD_CALL),
        center.request(MsgType=REFRESH, request_id="twice"),
        center.request(MsgType=REFRESH, request_id="twice"),
        center.request(MsgType=REFRESH, request_id="twice", shopId=OTHER_SHOP),
    ]
    batch = im_call_pb2.BatchSendImCallRequest(requests=requests)
    results = (await center.peer.call(center.calls.BatchSendImCall, batch)).results
    outcomes = [result.WhichOneof("outcome") for result in results]
    assert outcomes == ["response", "error", "response", "error", "response", "response", "error"]
    assert results[4].response == results[5].response
    assert len(await center.rows(tables.call)) == 3
    assert {row["brand_id"] for row in await center.rows()} == {BRAND, OTHER_BRAND}


async def test_a_call_of_more_records_than_the_most_is_refused_whole(center: MessageCenter) -> None:
    await center.configure(template_id=await center.template(), repeat_count=20, interval_seconds=1)
    await center.insert_devices(501)
    with refused("IM_CALL_TOO_LARGE") as caught:
        await center.send()
    assert caught.value.metadata == {"records": "10020", "records_max": "10000"}
    assert await center.rows(tables.call) == []


async def test_a_call_of_ten_thousand_records_is_stored_whole_and_sent(center: MessageCenter) -> None:
    await center.configure(template_id=await center.template(), repeat_count=20, interval_seconds=1)
    await center.insert_devices(500)
    small, large = await asyncio.gather(center.send(MsgType=REFRESH), center.send())
    assert (small.record_count, large.record_count) == (500, 10_000)
    center.clock.pass_seconds(20)
    messages = await center.due_ids()
    assert sorted(record_id for ids in messages for record_id in ids) == sorted(
        [*record_ids_of(small), *record_ids_of(large)]
    )
    ids = record_ids_of(large)
    for start in range(0, len(ids), 1000):
        deliveries = await center.claim(ids[start : start + 1000])
        assert [len(delivery.recipients) for delivery in deliveries] == [500, 500]
        assert [delivery.repeat_number for delivery in deliveries] == [start // 500 + 1, start // 500 + 2]
        await center.outcome(ids[start : start + 1000])
    by_call = {row["status"] for row in await center.rows() if row["call_id"] == int(large.call_id)}
    assert by_call == {"SENT"}


async def test_a_repeat_of_a_large_call_is_answered_as_the_first(center: MessageCenter) -> None:
    await center.insert_devices(300)
    request = center.request(MsgType=REFRESH)
    answers = await asyncio.gather(*(center.peer.call(center.calls.SendImCall, request) for _ in range(5)))
    assert len({answer.call_id for answer in answers}) == 1
    assert len(await center.rows()) == 300


async def test_what_a_database_refuses_of_one_call_does_not_touch_the_others(
    center: MessageCenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await center.device()
    insert = storage.insert_calls

    async def insert_or_refuse(connection: Any, calls: Any) -> None:
        if any(call.request_id == "poison" for call in calls):
            await insert(connection, [*calls, calls[0]])
        await insert(connection, calls)

    monkeypatch.setattr(storage, "insert_calls", insert_or_refuse)
    requests = [center.request(MsgType=REFRESH) for _ in range(8)]
    requests[3].request_id = "poison"
    answers = await asyncio.gather(
        *(center.peer.call(center.calls.SendImCall, request) for request in requests), return_exceptions=True
    )
    assert [position for position, answer in enumerate(answers) if isinstance(answer, DomainError)] == [3]
    assert len(await center.rows(tables.call)) == 7
