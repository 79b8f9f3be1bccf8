"""Leases, and the facts that come with them."""

from __future__ import annotations

import asyncio

import pytest

from brandmesh.messagecenter.v1 import im_call_pb2
from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from tests.messagecenter_rpc.harness import (
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
    SERVICE_DESK,
    SHOP,
    TECHNICIAN,
    MessageCenter,
    record_ids_of,
)

Designated = im_call_pb2.DesignatedAccount


def claimed_ids(deliveries: list[pb.ImDelivery]) -> list[int]:
    return [recipient.record_id for delivery in deliveries for recipient in delivery.recipients]


async def test_two_consumers_never_hold_the_same_record(center: MessageCenter) -> None:
    for _ in range(50):
        await center.device()
    ids = await center.refresh()
    claims = await asyncio.gather(*(center.claim(ids, consumer=f"consumer-{number}") for number in range(8)))
    held = [record_id for deliveries in claims for record_id in claimed_ids(deliveries)]
    assert sorted(held) == ids


async def test_a_lease_holds_until_it_is_over_and_then_the_record_may_have_been_sent(center: MessageCenter) -> None:
    await center.device()
    ids = await center.refresh()
    assert claimed_ids(await center.claim(ids, "first", lease_seconds=30)) == ids
    center.clock.pass_ms(29_999)
    assert await center.claim(ids, "second") == []
    center.clock.pass_ms(1)
    (delivery,) = await center.claim(ids, "second")
    assert (delivery.recipients[0].may_be_sent, delivery.recipients[0].attempt) == (True, 1)
    (row,) = await center.rows()
    assert (row["may_be_sent"], row["attempt"], row["consumer"]) == (True, 1, "second")

    await center.outcome(ids, pb.IM_OUTCOME_SKIPPED, consumer="first")
    assert await center.statuses() == ["SENDING"], "the first has lost it"
    await center.outcome(ids, pb.IM_OUTCOME_SENT, consumer="second")
    assert await center.statuses() == ["SENT"]
    await center.outcome(ids, pb.IM_OUTCOME_FAILED, consumer="second")
    assert await center.statuses() == ["SENT"], "the first word stands"


async def test_what_is_not_due_yet_is_left_alone(center: MessageCenter) -> None:
    await center.configure(template_id=await center.template(), repeat_count=3, interval_seconds=60)
    await center.device()
    ids = record_ids_of(await center.send())
    assert claimed_ids(await center.claim(ids)) == ids[:1]
    assert await center.statuses() == ["SENDING", "QUEUED", "QUEUED"]
    center.clock.pass_ms(58_999)
    assert await center.claim(ids[1:]) == [], "more than a second early"
    center.clock.pass_ms(1)
    assert claimed_ids(await center.claim(ids[1:])) == ids[1:2]


async def test_unknown_and_finished_records_are_left_out(center: MessageCenter) -> None:
    await center.device()
    ids = [*await center.refresh(), *await center.refresh()]
    await center.claim(ids[:1])
    await center.outcome(ids[:1])
    assert claimed_ids(await center.claim([*ids, 1, 2, 2])) == ids[1:]


async def test_deliveries_come_in_the_order_of_their_times_each_with_one_content(center: MessageCenter) -> None:
    template_id = await center.template()
    await center.configure(KITCHEN, template_id=template_id, first_delay_seconds=3)
    await center.configure(CALL_SCREEN, template_id=template_id, repeat_count=2, interval_seconds=2)
    for channel in (KITCHEN, CALL_SCREEN):
        await center.device(channel=channel)
        await center.device(channel=channel)
    first = await center.send(KITCHEN, CALL_SCREEN)
    center.clock.pass_seconds(1)
    second = await center.send(CALL_SCREEN, KITCHEN)
    center.clock.pass_seconds(9)
    deliveries = await center.claim([*record_ids_of(second), *record_ids_of(first)])
    assert [(str(one.call_id), one.channel, one.repeat_number) for one in deliveries] == [
        (first.call_id, CALL_SCREEN, 1),
        (second.call_id, CALL_SCREEN, 1),
        (first.call_id, CALL_SCREEN, 2),
        (first.call_id, KITCHEN, 1),
        (second.call_id, CALL_SCREEN, 2),
        (second.call_id, KITCHEN, 1),
    ]
    assert all(len(one.recipients) == 2 for one in deliveries)
    assert len({one.msg_random for one in deliveries}) == 6
    times = [one.due_time.ToMilliseconds() for one in deliveries]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("msg_type", "useful_seconds"), [(BROADCAST, 600), (REFRESH, 600), (NOTIFICATION, 86_400), (PAD_CALL, 600)]
)
async def test_how_long_a_message_is_of_use(center: MessageCenter, msg_type: int, useful_seconds: int) -> None:
    template_id = await center.template()
    await center.configure(template_id=template_id)
    await center.device()
    response = await center.send(MsgType=msg_type, msgTemplateId=template_id)
    due_ms = center.clock.now_ms
    center.clock.pass_seconds(300_000)
    (delivery,) = await center.claim(record_ids_of(response))
    assert delivery.msg_type == msg_type
    assert delivery.expire_time.ToMilliseconds() == due_ms + useful_seconds * 1000
    assert delivery.HasField("template_content") is (msg_type != REFRESH)


async def test_the_text_is_what_the_template_says_now(center: MessageCenter) -> None:
    own, configured = await center.template("own"), await center.template("configured")
    await center.configure(template_id=configured)
    await center.device()
    sends = [await center.send(MsgType=PAD_CALL, msgTemplateId=own), await center.send()]
    ids = [record_id for response in sends for record_id in record_ids_of(response)]
    await center.update_template(configured, "changed")
    await center.delete_template(own)
    first, second = await center.claim(ids)
    assert not first.HasField("template_content")
    assert second.template_content == "changed"


@pytest.mark.parametrize("msg_type", [BROADCAST, NOTIFICATION, REFRESH, PAD_CALL])
async def test_a_configuration_that_is_switched_off_or_gone_meanwhile(center: MessageCenter, msg_type: int) -> None:
    template_id = await center.template()
    await center.device()

    async def is_switched_off_after(*changes: bool | None) -> bool:
        """Configure, send, then switch on, switch off or remove the configuration, and claim."""
        await center.configure(template_id=template_id)
        response = await center.send(MsgType=msg_type, msgTemplateId=template_id)
        for change in changes:
            if change is None:
                await center.remove_config()
            else:
                await center.configure(template_id=template_id, enabled=change)
        (delivery,) = await center.claim(record_ids_of(response))
        return delivery.switched_off

    assert not await is_switched_off_after()
    assert await is_switched_off_after(False)
    assert not await is_switched_off_after(False, True)
    assert await is_switched_off_after(None) is (msg_type in {BROADCAST, NOTIFICATION})


async def test_a_shops_own_configuration_switches_off_at_its_time_too(center: MessageCenter) -> None:
    template_id = await center.template()
    await center.device()
    await center.configure(template_id=template_id)
    response = await center.send()
    await center.configure(template_id=template_id, shop_id=SHOP, enabled=False)
    (delivery,) = await center.claim(record_ids_of(response))
    assert delivery.switched_off


@pytest.mark.parametrize(
    ("msg_type", "minds"), [(BROADCAST, True), (NOTIFICATION, True), (REFRESH, False), (PAD_CALL, False)]
)
async def test_quiet_hours_that_have_begun_since(center: MessageCenter, msg_type: int, minds: bool) -> None:
    center.clock.now_ms = center.clock.now_ms // 86_400_000 * 86_400_000 + 10 * 3_600_000
    template_id = await center.template()
    quiet = pb.QuietHours(start="10:05", end="11:00", time_zone="UTC")
    await center.configure(template_id=template_id, quiet_hours=quiet)
    await center.device()
    early, late = [await center.send(MsgType=msg_type, msgTemplateId=template_id) for _ in range(2)]
    (delivery,) = await center.claim(record_ids_of(early))
    assert not delivery.quiet
    center.clock.pass_seconds(300)
    (delivery,) = await center.claim(record_ids_of(late))
    assert delivery.quiet is minds


async def test_the_first_moment_after_the_quiet_hours_may_be_claimed_early(center: MessageCenter) -> None:
    ten_ms = center.clock.now_ms // 86_400_000 * 86_400_000 + 10 * 3_600_000
    center.clock.now_ms = ten_ms - 60_000
    quiet = pb.QuietHours(start="09:00", end="10:00", time_zone="UTC")
    await center.configure(template_id=await center.template(), first_delay_seconds=60, quiet_hours=quiet)
    await center.device()
    ids = record_ids_of(await center.send())
    center.clock.now_ms = ten_ms - 1000
    (delivery,) = await center.claim(ids)
    assert not delivery.quiet


async def test_a_device_that_is_gone(center: MessageCenter) -> None:
    await center.device("leaves")
    await center.device("stays")
    await center.device("goes-to-another-shop")
    await center.device("becomes-another-kind")
    ids = await center.refresh()
    await center.delete_device("leaves")
    await center.device("goes-to-another-shop", shop_id=OTHER_SHOP)
    await center.device("becomes-another-kind", channel=CALL_SCREEN)
    (delivery,) = await center.claim(ids)
    facts = {one.record_id: (one.device_gone, one.device_moved) for one in delivery.recipients}
    gone, here = (True, False), (False, False)
    assert [facts[record_id] for record_id in ids] == [gone, here, gone, gone]


async def test_a_device_that_moved_is_told_of_calls_to_its_place_alone(center: MessageCenter) -> None:
    pad = await center.device("pad", channel=ROOM_PAD, location="801")
    to_place = await center.refresh(ROOM_PAD, designatedList=[Designated(channel=ROOM_PAD, location="801")])
    to_account = await center.refresh(ROOM_PAD, designatedList=[Designated(channel=ROOM_PAD, account=pad.account)])
    to_all = await center.refresh(ROOM_PAD)
    moved = await center.device("pad", channel=ROOM_PAD, location="802")
    assert moved.account == pad.account
    deliveries = await center.claim([*to_place, *to_account, *to_all])
    assert [one.recipients[0].device_moved for one in deliveries] == [True, False, False]
    assert {one.recipients[0].nick for one in deliveries} == {"room pad 802"}


async def test_an_account_that_is_named_in_two_ways_is_bound_to_no_place(center: MessageCenter) -> None:
    pad = await center.device("pad", channel=ROOM_PAD, location="801")
    by_place, by_account = (
        Designated(channel=ROOM_PAD, location="801"),
        Designated(channel=ROOM_PAD, account=pad.account),
    )
    ids = await center.refresh(ROOM_PAD, designatedList=[by_place, by_account])
    for name in ("left", "right"):
        await center.device(name, channel=CASH_DESK, location=name)
    desks = [Designated(channel=CASH_DESK, location=name) for name in ("left", "right")]
    ids += await center.refresh(CASH_DESK, designatedList=desks)
    await center.device("pad", channel=ROOM_PAD, location="802")
    await center.device("left", channel=CASH_DESK, location="store")
    deliveries = await center.claim(ids)
    assert [one.recipients[0].device_moved for one in deliveries] == [False, False]


async def test_cash_desks_are_gone_when_the_last_of_them_is(center: MessageCenter) -> None:
    await center.device("desk-1", channel=CASH_DESK, location="left")
    await center.device("desk-2", channel=CASH_DESK, location="right")
    designated = [Designated(channel=CASH_DESK, location="left")]
    sends = [await center.refresh(CASH_DESK, designatedList=designated) for _ in range(2)]
    await center.delete_device("desk-1")
    (delivery,) = await center.claim(sends[0])
    assert (delivery.recipients[0].device_gone, delivery.recipients[0].device_moved) == (False, True)
    await center.delete_device("desk-2")
    (delivery,) = await center.claim(sends[1])
    assert (delivery.recipients[0].device_gone, delivery.recipients[0].device_moved) == (True, False)


async def test_a_technician_who_is_not_at_work(center: MessageCenter) -> None:
    for name in ("on", "off", "never", "on-then-off"):
        await center.device(f"of-{name}", channel=TECHNICIAN, technician_id=name)
    await center.device("phone-2", channel=TECHNICIAN, technician_id="on")
    for name in ("on", "off", "on-then-off"):
        await center.clock_on(name)
    ids = await center.refresh(TECHNICIAN)
    center.clock.pass_seconds(1)
    await center.clock_off("off")
    await center.clock_off("on-then-off")
    (delivery,) = await center.claim(ids)
    assert [one.technician_clocked_off for one in delivery.recipients] == [False, True, True, True, False]
    assert delivery.recipients[0].nick == "technician on"


async def test_technicians_of_another_brand_are_others(center: MessageCenter) -> None:
    await center.device(channel=TECHNICIAN, brand_id=OTHER_BRAND, technician_id="t1")
    await center.clock_on("t1")
    ids = await center.refresh(TECHNICIAN, brandId=OTHER_BRAND)
    (delivery,) = await center.claim(ids)
    assert delivery.recipients[0].technician_clocked_off


@pytest.mark.parametrize(
    ("channel", "location", "nick"),
    [
        (KITCHEN, "hot dishes", "kitchen hot dishes"),
        (KITCHEN, "", "kitchen the-device"),
        (CALL_SCREEN, "hall", "call screen hall"),
        (CASH_DESK, "left", f"cash desk of shop {SHOP}"),
        (ROOM_PAD, "801", "room pad 801"),
        (TECHNICIAN, "", "technician t1"),
        (SERVICE_DESK, "2nd floor", "service desk 2nd floor"),
    ],
)
async def test_nicks(center: MessageCenter, channel: int, location: str, nick: str) -> None:
    await center.device("the-device", channel=channel, location=location)
    (delivery,) = await center.claim(await center.refresh(channel))
    assert delivery.recipients[0].nick == nick


async def test_records_of_several_brands_are_told_by_their_own(center: MessageCenter) -> None:
    for brand_id in (7, OTHER_BRAND):
        await center.device(brand_id=brand_id)
        await center.configure(brand_id=brand_id, template_id=await center.template(f"of {brand_id}", brand_id))
    sends = [await center.send(brandId=brand_id) for brand_id in (7, OTHER_BRAND)]
    await center.configure(brand_id=OTHER_BRAND, enabled=False)
    deliveries = await center.claim([record_id for send in sends for record_id in record_ids_of(send)])
    assert [(one.brand_id, one.template_content, one.switched_off) for one in deliveries] == [
        (7, "of 7", False),
        (OTHER_BRAND, f"of {OTHER_BRAND}", True),
    ]
