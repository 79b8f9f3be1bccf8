from __future__ import annotations

import asyncio

import pytest

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from mesh.timestamps import to_timestamp
from tests.messagecenter_rpc.harness import BRAND, OTHER_BRAND, MessageCenter, refused


async def get(center: MessageCenter, technician_id: str = "t1", brand_id: int = BRAND) -> pb.Technician:
    request = pb.GetTechnicianRequest(brand_id=brand_id, technician_id=technician_id)
    return (await center.peer.call(center.admin.GetTechnician, request)).technician


async def test_a_technician_is_at_work_from_clocking_on_to_clocking_off(center: MessageCenter) -> None:
    with refused("TECHNICIAN_NOT_FOUND"):
        await get(center)
    on = await center.clock_on()
    assert (on.technician_id, on.clocked_on, on.clock_time.ToMilliseconds()) == ("t1", True, center.clock.now_ms)
    assert await get(center) == on
    center.clock.pass_seconds(60)
    off = await center.clock_off()
    assert (off.clocked_on, off.clock_time.ToMilliseconds()) == (False, center.clock.now_ms)
    assert await get(center) == off
    with refused("TECHNICIAN_NOT_FOUND"):
        await get(center, brand_id=OTHER_BRAND)
    with refused("TECHNICIAN_NOT_FOUND"):
        await get(center, "t2")


async def test_words_in_the_wrong_order_do_not_turn_the_clock_back(center: MessageCenter) -> None:
    now_ms = center.clock.now_ms
    off = await center.clock_off(clock_time=to_timestamp(now_ms - 1000))
    with refused("OUT_OF_DATE") as caught:
        await center.clock_on(clock_time=to_timestamp(now_ms - 1001))
    assert caught.value.metadata == {"clock_at_ms": str(now_ms - 1000)}
    assert await get(center) == off
    assert (await center.clock_on(clock_time=to_timestamp(now_ms - 999))).clocked_on


async def test_a_repeat_answers_the_same(center: MessageCenter) -> None:
    at = to_timestamp(center.clock.now_ms - 5000)
    first = await center.clock_on(clock_time=at)
    center.clock.pass_seconds(60)
    assert await center.clock_on(clock_time=at) == first


@pytest.mark.parametrize("ahead_ms", [300_001, 10**12])
async def test_a_time_of_the_future_is_refused(center: MessageCenter, ahead_ms: int) -> None:
    with refused("INVALID_REQUEST", "clock_time"):
        await center.clock_on(clock_time=to_timestamp(center.clock.now_ms + ahead_ms))
    with refused("TECHNICIAN_NOT_FOUND"):
        await get(center)


async def test_a_clock_that_is_a_little_ahead_is_believed(center: MessageCenter) -> None:
    at = to_timestamp(center.clock.now_ms + 300_000)
    assert (await center.clock_on(clock_time=at)).clock_time == at


async def test_many_words_at_once_leave_the_latest(center: MessageCenter) -> None:
    now_ms = center.clock.now_ms

    async def say(number: int) -> None:
        clock = center.clock_on if number % 2 else center.clock_off
        await clock(clock_time=to_timestamp(now_ms - 1000 + number))

    await asyncio.gather(*(say(number) for number in range(20)), return_exceptions=True)
    technician = await get(center)
    assert (technician.clocked_on, technician.clock_time.ToMilliseconds()) == (True, now_ms - 981)
