"""A hundred thousand recipients in one request: others get their turn, and a crash half-way leaves nothing to see."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.timestamps import to_timestamp
from sms_rpc import storage, tables
from sms_rpc.domain import Record
from sms_rpc.plan import LOST_AFTER_MS
from sms_rpc.sweeping import LOADING_MS_MAX
from tests.sms_rpc.consumer import Consumer
from tests.sms_rpc.harness import BRAND, HOUR_MS, OTHER_BRAND, SmsMesh, phone, refused

COUNT = 100_000


async def test_a_hundred_thousand_are_one_freeze_in_chunks_and_others_are_answered_beside_them(mesh: SmsMesh) -> None:
    await mesh.open_brand(OTHER_BRAND)
    codes = 0

    async def send_codes() -> None:
        nonlocal codes
        while not campaign.done():
            await mesh.send(phone(codes), brand_id=OTHER_BRAND, type=pb.SMS_TYPE_VERIFICATION)
            codes += 1

    phones = [phone(number) for number in range(COUNT)]
    campaign = asyncio.create_task(mesh.send(*phones, type=pb.SMS_TYPE_MARKETING))
    await send_codes()
    sent = await campaign
    assert (sent.accepted_count, sent.frozen, len(sent.messages)) == (COUNT, COUNT, 1000)
    entries = (await mesh.account()).seq
    assert entries == 2, "a grant and one freeze"
    first = int(sent.task_id)
    rows = [row for row in await mesh.rows(tables.dispatch) if row["brand_id"] == BRAND]
    assert [(row["dispatch_id"], row["record_count"]) for row in rows] == [
        (first + start, 1000) for start in range(0, COUNT, 1000)
    ]
    assert {row["state"] for row in rows} == {"QUEUED"}
    assert (await mesh.bus.depth("sms.send.7.marketing.batch")).ready == COUNT // 1000
    # Each code is a freeze and a commit of its own: had they waited for the campaign, there would be one or two.
    assert codes > 10


async def crash_while_loading(mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch, request: pb.SendSmsRequest) -> None:
    """Send, and stop after two of the chunks are stored."""
    insert_records, chunks = storage.insert_records, 0

    async def insert(connection: AsyncConnection, records: Sequence[Record]) -> None:
        nonlocal chunks
        chunks += 1
        if chunks == 3:
            raise RuntimeError("crashed")
        await insert_records(connection, records)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "insert_records", insert)
        with refused("INTERNAL"):
            await mesh.sms_peer.call(mesh.sms.SendSms, request)
    assert [state for state in (await mesh.states()).values() if state == "LOADING"] == ["LOADING"] * 2


async def listed(mesh: SmsMesh, **filters: Any) -> list[str]:
    """Read all pages of the brand's list."""
    found: list[str] = []
    request = pb.ListSmsRequest(brand_id=BRAND, page_size=2, **filters)
    while True:
        page = await mesh.sms_peer.call(mesh.sms.ListSms, request)
        found += [message.message_id for message in page.messages]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


@pytest.mark.parametrize("delay_ms", [0, HOUR_MS], ids=["now", "scheduled"])
async def test_a_crash_half_way_leaves_nothing_to_see_and_the_repeat_succeeds(
    mesh: SmsMesh, monkeypatch: pytest.MonkeyPatch, delay_ms: int
) -> None:
    older = [(await mesh.send(phone(1))).task_id for _ in range(3)][::-1]
    times = {"schedule_time": to_timestamp(mesh.clock.now_ms + delay_ms)} if delay_ms else {}
    request = mesh.request(*map(phone, range(2500)), **times)
    await crash_while_loading(mesh, monkeypatch, request)
    left_ids = [row["record_id"] for row in await mesh.rows(tables.record)][3:]
    assert len(left_ids) == 2000
    assert await listed(mesh) == older
    assert await listed(mesh, phone=phone(1)) == older
    assert await listed(mesh, status=pb.SMS_STATUS_QUEUED) == older
    for filters in ({"task_id": str(left_ids[0])}, {"phone": phone(2)}, {"status": pb.SMS_STATUS_SCHEDULED}):
        assert await listed(mesh, **filters) == []
    with refused("SMS_NOT_FOUND"):
        await mesh.get(left_ids[0])
    with refused("SMS_NOT_FOUND"):
        request_ = pb.CancelSmsRequest(brand_id=BRAND, message_id=str(left_ids[0]))
        await mesh.sms_peer.call(mesh.sms.CancelSms, request_)
    left_dispatches = [one for one, state in (await mesh.states()).items() if state == "LOADING"]
    mesh.clock.pass_ms(LOST_AFTER_MS)
    assert await Consumer(mesh).claim(*left_dispatches) == []

    sent = await mesh.sms_peer.call(mesh.sms.SendSms, request)
    assert (sent.accepted_count, sent.frozen) == (2500, 2500)
    assert await mesh.spent_and_frozen() == (0, 2503)
    assert not {int(sent.task_id), int(sent.task_id) + 2499} & set(left_ids)
    mesh.clock.pass_ms(delay_ms + LOST_AFTER_MS + LOADING_MS_MAX)
    await mesh.sweeping.sweep(1000)
    assert len(await mesh.rows(tables.record)) == 2503
    assert not set(left_dispatches) & set(await mesh.states())
