from __future__ import annotations

from typing import Any

import pytest

from brandmesh.messagecenter.v1 import im_call_pb2
from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from messagecenter_rpc import tables
from tests.messagecenter_rpc.harness import (
    BRAND,
    CALL_SCREEN,
    CASH_DESK,
    KITCHEN,
    OTHER_BRAND,
    SHOP,
    MessageCenter,
    refused,
)

Quiet = pb.QuietHours


async def listed(center: MessageCenter, brand_id: int = BRAND, **changes: Any) -> pb.ListBroadcastConfigsResponse:
    request = pb.ListBroadcastConfigsRequest(brand_id=brand_id, **changes)
    return await center.peer.call(center.admin.ListBroadcastConfigs, request)


async def test_a_configuration_stands_as_it_was_put_and_is_replaced_whole(center: MessageCenter) -> None:
    template_id = await center.template()
    first = await center.configure(
        template_id=template_id,
        repeat_count=3,
        interval_seconds=60,
        first_delay_seconds=5,
        quiet_hours=Quiet(start="22:00", end="07:00", time_zone="Europe/Berlin"),
    )
    assert (await listed(center)).configs == [first]
    second = await center.configure(enabled=False)
    assert (await listed(center)).configs == [second]
    assert not second.HasField("quiet_hours")
    await center.remove_config()
    await center.remove_config()
    assert (await listed(center)).configs == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("config.event", {"event": 0}),
        ("config.channel", {"channel": 0}),
        ("config.channel", {"channel": 7}),
        ("config.shop_id", {"shop_id": -1}),
        ("config.repeat_count", {"repeat_count": 21, "interval_seconds": 1}),
        ("config.interval_seconds", {"repeat_count": 2}),
        ("config.interval_seconds", {"interval_seconds": 86_401}),
        ("config.first_delay_seconds", {"first_delay_seconds": 86_401}),
        ("config.repeat_count", {"repeat_count": 20, "interval_seconds": 86_400}),
        ("config.repeat_count", {"repeat_count": 4, "interval_seconds": 86_400, "first_delay_seconds": 1}),
        ("config.quiet_hours.start", {"quiet_hours": Quiet(start="24:00", end="07:00")}),
        ("config.quiet_hours.end", {"quiet_hours": Quiet(start="22:00", end="7:00")}),
        ("config.quiet_hours.start", {"quiet_hours": Quiet(end="07:00")}),
        ("config.quiet_hours.end", {"quiet_hours": Quiet(start="22:00", end="22:00")}),
        ("config.quiet_hours.time_zone", {"quiet_hours": Quiet(start="22:00", end="07:00", time_zone="x" * 65)}),
        ("config.quiet_hours.time_zone", {"quiet_hours": Quiet(start="22:00", end="07:00", time_zone="Mars")}),
        ("config.quiet_hours.time_zone", {"quiet_hours": Quiet(start="22:00", end="07:00", time_zone="../UTC")}),
    ],
)
async def test_what_a_configuration_may_not_say(center: MessageCenter, field: str, changes: dict[str, Any]) -> None:
    with refused("INVALID_REQUEST", field):
        await center.configure(**changes)
    assert await center.rows(tables.broadcast_config) == []


async def test_a_template_has_to_be_the_brands(center: MessageCenter) -> None:
    deleted = await center.template()
    await center.delete_template(deleted)
    for template_id in (1, deleted, await center.template(brand_id=OTHER_BRAND)):
        with refused("INVALID_REQUEST", "config.template_id"):
            await center.configure(template_id=template_id)
    assert await center.rows(tables.broadcast_config) == []


async def test_three_days_are_the_most(center: MessageCenter) -> None:
    await center.configure(repeat_count=4, interval_seconds=86_400)
    await center.configure(repeat_count=3, interval_seconds=86_400, first_delay_seconds=86_400)


async def test_configurations_are_listed_by_shop_event_and_channel(center: MessageCenter) -> None:
    paid = im_call_pb2.ENUM_IM_CALL_EVENT_PAYMENT_RECEIVED
    await center.configure(KITCHEN, shop_id=SHOP, event=paid)
    await center.configure(CASH_DESK, shop_id=SHOP)
    await center.configure(KITCHEN, shop_id=SHOP)
    await center.configure(CALL_SCREEN, event=paid)
    await center.configure(CASH_DESK)
    await center.configure(KITCHEN, shop_id=SHOP + 1)
    await center.configure(KITCHEN, brand_id=OTHER_BRAND)
    ordered = 1
    expected = [
        (0, ordered, CASH_DESK),
        (0, paid, CALL_SCREEN),
        (SHOP, ordered, KITCHEN),
        (SHOP, ordered, CASH_DESK),
        (SHOP, paid, KITCHEN),
        (SHOP + 1, ordered, KITCHEN),
    ]
    for size in (1, 2, 4, 6, 100):
        found, token = list[tuple[int, int, int]](), ""
        while True:
            page = await listed(center, page_size=size, page_token=token)
            found += [(one.shop_id, one.event, one.channel) for one in page.configs]
            token = page.next_page_token
            if not token:
                break
        assert found == expected
    of_shop = (await listed(center, shop_id=SHOP)).configs
    assert [(one.shop_id, one.event, one.channel) for one in of_shop] == expected[2:5]
