"""One device is one account; the cash desks of a shop are one; moving changes neither."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import grpc
import pytest

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from brandmesh.txim.v1 import txim_pb2
from messagecenter_rpc import tables
from messagecenter_rpc.devices import SHOP_MAX
from tests.messagecenter_rpc.harness import (
    CASH_DESK,
    KITCHEN,
    OTHER_BRAND,
    OTHER_SHOP,
    ROOM_PAD,
    SHOP,
    TECHNICIAN,
    MessageCenter,
    refused,
)

LARGEST_ID = (1 << 53) - 1


async def test_a_device_keeps_its_account_wherever_it_goes(center: MessageCenter) -> None:
    first = await center.device("pad", channel=ROOM_PAD, location="801")
    center.clock.pass_seconds(1)
    placements: list[dict[str, Any]] = [
        {"location": "802"},
        {"shop_id": OTHER_SHOP},
        {"channel": KITCHEN, "location": ""},
        {"channel": TECHNICIAN, "technician_id": "t1"},
    ]
    for placement in placements:
        moved = await center.device("pad", **{"channel": ROOM_PAD, **placement})
        assert moved.account == first.account
        assert moved.create_time == first.create_time
        assert moved.update_time.ToMilliseconds() == center.clock.now_ms
        assert await center.get_device("pad") == moved
    assert re.fullmatch(r"dev-[0-9a-z]+", first.account)


async def test_the_cash_desks_of_a_shop_share_an_account_and_a_desk_that_moves_changes_it(
    center: MessageCenter,
) -> None:
    left = await center.device("left", channel=CASH_DESK)
    right = await center.device("right", channel=CASH_DESK)
    elsewhere = await center.device("elsewhere", channel=CASH_DESK, shop_id=OTHER_SHOP)
    of_other = await center.device("left", channel=CASH_DESK, brand_id=OTHER_BRAND)
    assert left.account == right.account == "desk-7-b"
    assert len({left.account, elsewhere.account, of_other.account}) == 3
    moved = await center.device("left", channel=CASH_DESK, shop_id=OTHER_SHOP)
    assert moved.account == elsewhere.account


async def test_a_device_that_was_a_cash_desk_for_a_while_has_its_own_account_again(center: MessageCenter) -> None:
    before = await center.device("tablet", channel=ROOM_PAD)
    as_desk = await center.device("tablet", channel=CASH_DESK)
    after = await center.device("tablet", channel=ROOM_PAD)
    assert as_desk.account.startswith("desk-")
    assert after.account == before.account


async def test_the_longest_account_is_one_for_tencent(center: MessageCenter) -> None:
    desk = await center.device(channel=CASH_DESK, brand_id=LARGEST_ID, shop_id=LARGEST_ID)
    assert len(desk.account) <= 32


async def test_what_stands_already_is_not_changed(center: MessageCenter) -> None:
    first = await center.device("pad", channel=ROOM_PAD, location="801")
    center.clock.pass_seconds(1)
    assert await center.device("pad", channel=ROOM_PAD, location="801") == first


async def test_a_device_made_known_many_times_at_once_is_one(center: MessageCenter) -> None:
    devices = await asyncio.gather(*(center.device("pad", channel=ROOM_PAD) for _ in range(10)))
    assert len({device.account for device in devices}) == 1
    assert len(await center.rows(tables.device)) == 1


async def test_a_device_that_comes_back_is_another_account(center: MessageCenter) -> None:
    first = await center.device("pad")
    await center.delete_device("pad")
    await center.delete_device("pad")
    with refused("IM_DEVICE_NOT_FOUND"):
        await center.get_device("pad")
    assert (await center.device("pad")).account != first.account


async def test_what_a_device_may_not_be(center: MessageCenter) -> None:
    for channel in (KITCHEN, CASH_DESK):
        with refused("INVALID_REQUEST", "technician_id"):
            await center.device(channel=channel, technician_id="t1")
    with refused("INVALID_REQUEST", "technician_id"):
        await center.device(channel=TECHNICIAN, technician_id="")
    for location in ("a\nb", "a\0b", "a\x9fb"):
        with refused("INVALID_REQUEST", "location"):
            await center.device(location=location)
    assert await center.rows(tables.device) == []


async def test_a_shop_that_is_full_takes_no_other_device(center: MessageCenter) -> None:
    await center.insert_devices(SHOP_MAX - 1)
    await center.device("last")
    moves = await center.device("moves", shop_id=OTHER_SHOP)
    before = await center.rows(tables.device)
    for name in ("one-too-many", "moves"):
        with refused("IM_SHOP_FULL") as caught:
            await center.device(name)
        assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.metadata == {"devices_max": "1000"}
    assert await center.rows(tables.device) == before
    # Other shops, and another brand's shop of the same number, have room.
    await center.device("one-too-many", shop_id=OTHER_SHOP)
    await center.device("one-too-many", brand_id=OTHER_BRAND)
    # What is there may be changed, and makes room when it leaves.
    assert (await center.device("last", channel=ROOM_PAD, location="801")).location == "801"
    await center.device("last", shop_id=OTHER_SHOP)
    assert (await center.device("moves")).account == moves.account
    with refused("IM_SHOP_FULL"):
        await center.device("last")
    await center.delete_device("many-0")
    await center.device("last")


async def test_a_shop_that_has_more_than_the_most_already_keeps_them(center: MessageCenter) -> None:
    await center.insert_devices(SHOP_MAX + 1)
    assert (await center.device("many-0", location="at the door")).location == "at the door"
    with refused("IM_SHOP_FULL"):
        await center.device("another")


async def test_devices_are_listed_in_the_order_in_which_they_were_made_known(center: MessageCenter) -> None:
    names = ["z", "a", "m", "b", "y"]
    for position, name in enumerate(names):
        await center.device(name, shop_id=OTHER_SHOP if position == 1 else SHOP)
    await center.device("other", brand_id=OTHER_BRAND)
    await center.device("z", location="moved")
    first = await center.list_devices(page_size=3)
    second = await center.list_devices(page_size=3, page_token=first.next_page_token)
    assert [device.device_id for device in (*first.devices, *second.devices)] == names
    assert second.next_page_token == ""
    of_shop = await center.list_devices(shop_id=SHOP, page_size=2)
    rest = await center.list_devices(shop_id=SHOP, page_size=2, page_token=of_shop.next_page_token)
    assert [device.device_id for device in (*of_shop.devices, *rest.devices)] == ["z", "m", "b", "y"]


async def test_another_brand_sees_none_of_it(center: MessageCenter) -> None:
    await center.device("pad")
    with refused("IM_DEVICE_NOT_FOUND"):
        await center.get_device("pad", OTHER_BRAND)
    await center.delete_device("pad", OTHER_BRAND)
    assert (await center.list_devices(brand_id=OTHER_BRAND)).devices == []
    assert (await center.get_device("pad")).device_id == "pad"


async def test_states_are_tencents(center: MessageCenter) -> None:
    online, push, offline = [await center.device(name) for name in ("online", "push", "offline")]
    desks = [await center.device(name, channel=CASH_DESK) for name in ("desk-1", "desk-2")]
    unknown = await center.device("unknown")
    center.tencent.states = {
        online.account: txim_pb2.ONLINE_STATE_ONLINE,
        push.account: txim_pb2.ONLINE_STATE_PUSH_ONLINE,
        desks[0].account: txim_pb2.ONLINE_STATE_ONLINE,
        unknown.account: txim_pb2.ONLINE_STATE_UNSPECIFIED,
    }
    stated = (await center.device_states()).devices
    assert {one.device.device_id: one.state for one in stated} == {
        "online": pb.IM_DEVICE_STATE_ONLINE,
        "push": pb.IM_DEVICE_STATE_PUSH_ONLINE,
        "offline": pb.IM_DEVICE_STATE_OFFLINE,
        "desk-1": pb.IM_DEVICE_STATE_ONLINE,
        "desk-2": pb.IM_DEVICE_STATE_ONLINE,
        "unknown": pb.IM_DEVICE_STATE_UNSPECIFIED,
    }
    assert stated[0].device == online
    assert offline.device_id == "offline"
    assert center.tencent.asked == [5]


async def test_states_are_asked_for_500_accounts_at_a_time_and_told_of_1000_devices(center: MessageCenter) -> None:
    await center.insert_devices(1100)
    assert len((await center.device_states()).devices) == 1000
    assert center.tencent.asked == [500, 500]


async def test_a_shop_without_devices_asks_nobody(center: MessageCenter) -> None:
    assert (await center.device_states()).devices == []
    assert center.tencent.asked == []


@pytest.mark.parametrize("channel", [KITCHEN, CASH_DESK])
async def test_accounts_are_what_the_contract_takes(center: MessageCenter, channel: int) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", (await center.device(channel=channel)).account)
