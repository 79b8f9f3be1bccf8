"""The way of a call, from SendImCall to the devices."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any

import pytest

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from mesh.timestamps import to_ms
from tests.messagecenter_rmq.chain import (
    BRAND,
    CALL_SCREEN,
    CASH_DESK,
    KITCHEN,
    NOTIFICATION,
    ORDERED,
    PAD_CALL,
    REFRESH,
    ROOM_PAD,
    TECHNICIAN,
    Chain,
)
from tests.messagecenter_rmq.deliveries import PARAMS, TEXT
from tests.messagecenter_rmq.tencent import refuse_some


async def test_an_order_is_spoken_in_the_kitchen_and_on_the_call_screen(chain: Chain) -> None:
    kitchen = await chain.open_kitchen()
    screen = await chain.put_device("screen", CALL_SCREEN)
    await chain.configure(CALL_SCREEN, template_id=await chain.put_template())
    call_id = await chain.call(KITCHEN, CALL_SCREEN)
    await chain.work()
    assert chain.tencent.inboxes == {kitchen: ["801房间下单了水饺2份,请注意"], screen: ["801房间下单了水饺2份,请注意"]}
    assert [(one.status, one.text) for one in await chain.records(call_id)] == [(pb.IM_RECORD_STATUS_SENT, TEXT)] * 2
    # Both are due at once, so either may arrive first.
    said = [json.loads(message.cloud_custom_data) for message in chain.tencent.arrived]
    common = {"callId": call_id, "event": "catering_ordered", "msgType": "broadcast", "shopId": 1}
    assert sorted(said, key=itemgetter("channel")) == [
        {**common, "channel": "call_screen"},
        {**common, "channel": "kitchen"},
    ]


async def test_two_channels_and_three_repeats_are_six_messages_at_their_times(chain: Chain) -> None:
    kitchen = await chain.open_kitchen(repeat_count=3, interval_seconds=5)
    screen = await chain.put_device("screen", CALL_SCREEN)
    template_id = await chain.put_template()
    await chain.configure(
        CALL_SCREEN, template_id=template_id, repeat_count=3, interval_seconds=10, first_delay_seconds=2
    )
    start = chain.clock.now_ms
    call_id = await chain.call(KITCHEN, CALL_SCREEN)
    seconds: list[tuple[float, str]] = []
    for _ in range(30):
        seen = len(chain.tencent.arrived)
        await chain.work()
        seconds += [((chain.clock.now_ms - start) / 1000, one.account) for one in chain.tencent.arrived[seen:]]
        chain.clock.pass_seconds(1)
    assert seconds == [(0, kitchen), (2, screen), (5, kitchen), (10, kitchen), (12, screen), (22, screen)]
    assert await chain.statuses(call_id) == ["SENT"] * 6
    assert len({sent.key for sent in chain.tencent.sends}) == 6
    assert [one.due_second for one in chain.tencent.arrived] == [int(start / 1000 + after) for after, _ in seconds]


async def test_a_refresh_reaches_the_app_as_data_by_night_and_unconfigured(chain: Chain) -> None:
    pad = await chain.put_device("pad", ROOM_PAD, location="801")
    call_id = await chain.call(ROOM_PAD, MsgType=REFRESH, callParams={"orderId": "5"})
    await chain.work()
    ((data,),) = chain.tencent.inboxes.values()
    assert json.loads(data) == {
        "callId": call_id,
        "event": "catering_ordered",
        "msgType": "refresh",
        "channel": "room_pad",
        "shopId": 1,
        "params": {"orderId": "5"},
    }
    assert list(chain.tencent.inboxes) == [pad]
    assert await chain.statuses(call_id) == ["SENT"]


@pytest.mark.parametrize("msg_type", [NOTIFICATION, PAD_CALL])
async def test_notifications_and_pad_calls_are_texts(chain: Chain, msg_type: Any) -> None:
    await chain.open_kitchen()
    template_id = await chain.put_template("{roomName}: please come")
    await chain.call(MsgType=msg_type, msgTemplateId=template_id)
    await chain.work()
    assert [one.text for one in chain.tencent.arrived] == ["801: please come"]


async def test_a_changed_template_is_what_is_sent(chain: Chain) -> None:
    template_id = await chain.put_template()
    await chain.configure(KITCHEN, template_id=template_id, first_delay_seconds=5)
    await chain.put_device("kitchen", KITCHEN)
    await chain.call()
    await chain.change_template(template_id, "new: {goodsName}")
    chain.clock.pass_seconds(5)
    await chain.work()
    assert [one.text for one in chain.tencent.arrived] == ["new: 水饺"]


async def test_many_accounts_get_a_message_in_one_call(chain: Chain) -> None:
    await chain.configure(ROOM_PAD, template_id=await chain.put_template())
    accounts = [await chain.put_device(f"pad-{number}", ROOM_PAD) for number in range(230)]
    call_id = await chain.call(ROOM_PAD)
    await chain.work()
    (sent,) = chain.tencent.sends
    assert (sent.command, sorted(sent.accounts)) == ("batchsendmsg", sorted(accounts))
    assert set(await chain.statuses(call_id)) == {"SENT"}


async def test_with_one_account_a_call_each_message_goes_by_itself(chain: Chain) -> None:
    await chain.configure(ROOM_PAD, template_id=await chain.put_template())
    accounts = [await chain.put_device(f"pad-{number}", ROOM_PAD) for number in range(5)]
    process = await chain.open_process("one by one", batch_recipients_max=1)
    await chain.call(ROOM_PAD)
    await chain.work(process)
    assert [sent.command for sent in chain.tencent.sends] == ["sendmsg"] * 5
    assert sorted(sent.accounts for sent in chain.tencent.sends) == sorted([account] for account in accounts)


async def test_of_a_call_each_account_has_its_own_end(chain: Chain) -> None:
    await chain.configure(ROOM_PAD, template_id=await chain.put_template())
    good, refusing, busy = [await chain.put_device(f"pad-{number}", ROOM_PAD) for number in range(3)]
    chain.tencent.script.append(refuse_some({refusing: 20007, busy: 90995}))
    call_id = await chain.call(ROOM_PAD)
    await chain.work()
    assert await chain.ends(call_id) == [
        ("SENT", "", ""),
        ("FAILED", "IM_RECIPIENT_REFUSES", "20007"),
        ("QUEUED", "IM_INTERNAL_ERROR", "90995"),
    ]
    await chain.go_on(60)
    assert await chain.statuses(call_id) == ["SENT", "FAILED", "SENT"]
    first, again = chain.tencent.sends
    assert (first.key, again.accounts) == (again.key, [busy])
    assert chain.tencent.inboxes == {good: [TEXT], busy: [TEXT]}


async def test_the_cash_desks_of_a_shop_are_one_account(chain: Chain) -> None:
    await chain.configure(CASH_DESK, template_id=await chain.put_template())
    account = {await chain.put_device(f"desk-{number}", CASH_DESK) for number in range(3)}
    assert len(account) == 1
    await chain.call(CASH_DESK)
    await chain.work()
    assert chain.tencent.inboxes == {account.pop(): [TEXT]}


# What has changed by the time.


async def test_a_technician_who_clocked_off_hears_nothing(chain: Chain) -> None:
    await chain.configure(TECHNICIAN, template_id=await chain.put_template(), first_delay_seconds=10)
    await chain.clock_on("lin")
    await chain.clock_on("ma")
    await chain.put_device("phone-lin", TECHNICIAN, technician_id="lin")
    ma = await chain.put_device("phone-ma", TECHNICIAN, technician_id="ma")
    call_id = await chain.call(TECHNICIAN)
    await chain.clock_off("lin")
    chain.clock.pass_seconds(10)
    await chain.work()
    assert await chain.ends(call_id) == [("SKIPPED", "TECHNICIAN_CLOCKED_OFF", ""), ("SENT", "", "")]
    assert chain.tencent.inboxes == {ma: [TEXT]}


async def test_nothing_is_sent_for_nobody(chain: Chain) -> None:
    await chain.configure(TECHNICIAN, template_id=await chain.put_template(), first_delay_seconds=10)
    await chain.clock_on("lin")
    await chain.put_device("phone", TECHNICIAN, technician_id="lin")
    call_id = await chain.call(TECHNICIAN)
    await chain.clock_off("lin")
    chain.clock.pass_seconds(10)
    await chain.work()
    assert await chain.ends(call_id) == [("SKIPPED", "TECHNICIAN_CLOCKED_OFF", "")]
    assert chain.tencent.sends == []


async def test_a_configuration_that_was_switched_off_is_followed(chain: Chain) -> None:
    template_id = await chain.put_template()
    await chain.open_kitchen(template_id=template_id, first_delay_seconds=10)
    call_id = await chain.call()
    await chain.configure(KITCHEN, template_id=template_id, enabled=False)
    await chain.go_on(10)
    assert await chain.ends(call_id) == [("SKIPPED", "SWITCHED_OFF", "")]
    assert chain.tencent.sends == []


async def test_a_configuration_that_is_gone_is_followed(chain: Chain) -> None:
    await chain.open_kitchen(first_delay_seconds=10)
    call_id = await chain.call()
    request = pb.DeleteBroadcastConfigRequest(brand_id=BRAND, event=ORDERED, channel=KITCHEN)
    await chain.messagecenter.call(chain.admin.DeleteBroadcastConfig, request)
    await chain.go_on(10)
    assert await chain.ends(call_id) == [("SKIPPED", "SWITCHED_OFF", "")]


async def test_quiet_hours_that_began_meanwhile_are_kept(chain: Chain) -> None:
    template_id = await chain.put_template()
    await chain.open_kitchen(template_id=template_id, first_delay_seconds=10)
    call_id = await chain.call()
    quiet = {"start": "00:00", "end": "23:59", "time_zone": "UTC"}
    await chain.configure(KITCHEN, template_id=template_id, quiet_hours=pb.QuietHours(**quiet))
    day_ms = 24 * 3_600_000
    assert (chain.clock.now_ms + 10_000) % day_ms < day_ms - 60_000, (
        "this test does not run in the last minute of a day"
    )
    await chain.go_on(10)
    assert await chain.ends(call_id) == [("SKIPPED", "QUIET_HOURS", "")]


async def test_a_device_that_is_gone_is_skipped(chain: Chain) -> None:
    await chain.open_kitchen(first_delay_seconds=10)
    call_id = await chain.call()
    await chain.delete_device("kitchen")
    await chain.go_on(10)
    assert await chain.ends(call_id) == [("SKIPPED", "DEVICE_GONE", "")]


async def test_a_device_that_moved_is_skipped_where_the_call_was_for_a_place(chain: Chain) -> None:
    await chain.configure(ROOM_PAD, template_id=await chain.put_template(), first_delay_seconds=10)
    account = await chain.put_device("pad", ROOM_PAD, location="801")
    for_the_room = await chain.call(ROOM_PAD, designatedList=[{"channel": ROOM_PAD, "location": "801"}])
    for_the_pad = await chain.call(ROOM_PAD, designatedList=[{"channel": ROOM_PAD, "account": account}])
    await chain.put_device("pad", ROOM_PAD, location="802")
    await chain.go_on(10)
    assert await chain.ends(for_the_room) == [("SKIPPED", "DEVICE_MOVED", "")]
    assert await chain.statuses(for_the_pad) == ["SENT"]


async def test_what_is_too_late_is_skipped(chain: Chain) -> None:
    await chain.open_kitchen()
    in_time = await chain.call()
    chain.clock.pass_seconds(599)
    await chain.work()
    late = await chain.call()
    chain.clock.pass_seconds(601)
    await chain.work()
    assert await chain.statuses(in_time) == ["SENT"]
    assert await chain.ends(late) == [("SKIPPED", "EXPIRED", "")]
    assert len(chain.tencent.sends) == 1


async def test_a_cancel_stops_the_repeats_that_are_left(chain: Chain) -> None:
    await chain.open_kitchen(repeat_count=3, interval_seconds=5)
    call_id = await chain.call()
    await chain.work()
    assert await chain.cancel(call_id) == 2
    await chain.go_on(5)
    await chain.go_on(5)
    assert await chain.statuses(call_id) == ["SENT", "CANCELLED", "CANCELLED"]
    assert len(chain.tencent.arrived) == 1


async def test_a_cancel_stops_what_is_claimed_and_not_sent(chain: Chain) -> None:
    """It is tried again when the call has been cancelled."""
    await chain.open_kitchen()
    chain.tencent.script.append(refuse_some({await chain.put_device("kitchen", KITCHEN): 90995}))
    call_id = await chain.call()
    (record,) = await chain.records(call_id)
    (delivery,) = await chain.first.records.claim([int(record.record_id)])
    assert await chain.cancel(call_id) == 0
    await chain.go_on(61, chain.second)
    assert delivery.call_cancelled is False
    assert chain.tencent.sends == []
    assert (await chain.ends(call_id))[0][1] == "CALL_CANCELLED"


# What cannot be sent.


@pytest.mark.parametrize("missing", PARAMS)
async def test_a_missing_parameter_fails_and_nothing_is_sent(chain: Chain, missing: str) -> None:
    await chain.open_kitchen()
    call_id = await chain.call(callParams={name: value for name, value in PARAMS.items() if name != missing})
    await chain.work()
    assert await chain.ends(call_id) == [("FAILED", "MISSING_PARAMETER", missing)]
    assert chain.tencent.sends == []


async def test_an_empty_text_fails(chain: Chain) -> None:
    await chain.open_kitchen(template_id=await chain.put_template("{roomName}"))
    call_id = await chain.call(callParams={"roomName": ""})
    await chain.work()
    assert await chain.ends(call_id) == [("FAILED", "EMPTY_TEXT", "")]


async def test_a_text_that_grew_too_long_fails(chain: Chain) -> None:
    template_id = await chain.put_template("{roomName}")
    await chain.open_kitchen(template_id=template_id, first_delay_seconds=5)
    call_id = await chain.call(callParams={"roomName": "x" * 7000})
    await chain.change_template(template_id, "{roomName}{roomName}")
    await chain.go_on(5)
    assert await chain.ends(call_id) == [("FAILED", "MESSAGE_TOO_LONG", "14000 bytes")]
    assert chain.tencent.sends == []


async def test_a_template_that_is_gone_fails(chain: Chain) -> None:
    template_id = await chain.put_template("{roomName}")
    await chain.put_device("kitchen", KITCHEN)
    call_id = await chain.call(MsgType=PAD_CALL, msgTemplateId=template_id)
    request = pb.DeleteImTemplateRequest(brand_id=BRAND, template_id=template_id)
    await chain.messagecenter.call(chain.admin.DeleteImTemplate, request)
    await chain.work()
    assert await chain.ends(call_id) == [("FAILED", "TEMPLATE_GONE", "")]


async def test_due_times_are_what_tencent_knows_a_message_by(chain: Chain) -> None:
    await chain.open_kitchen(first_delay_seconds=5)
    call_id = await chain.call()
    await chain.go_on(7)
    (record,), (sent,) = await chain.records(call_id), chain.tencent.sends
    assert sent.body["MsgTimeStamp"] == to_ms(record.due_time) // 1000
