"""Lists over a real channel: whole, in order, in pages, and only for tokens that a page gave."""

from __future__ import annotations

import base64

import pytest

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, HOUR_MS
from tests.costcenter.rpc import Rpc


async def lots(rpc: Rpc, page_size: int, *, show_exhausted: bool = False) -> list[list[pb.SmsLot]]:
    """All pages."""
    request = pb.ListSmsLotsRequest(brand_id=BRAND, page_size=page_size, show_exhausted=show_exhausted)
    pages: list[list[pb.SmsLot]] = []
    while not pages or request.page_token:
        page = await rpc.peer.call(rpc.stub.ListSmsLots, request)
        pages.append(list(page.lots))
        request.page_token = page.next_page_token
    return pages


async def entries(rpc: Rpc, page_size: int) -> list[list[pb.SmsEntry]]:
    """All pages."""
    request = pb.ListSmsEntriesRequest(brand_id=BRAND, page_size=page_size)
    pages: list[list[pb.SmsEntry]] = []
    while not pages or request.page_token:
        page = await rpc.peer.call(rpc.stub.ListSmsEntries, request)
        pages.append(list(page.entries))
        request.page_token = page.next_page_token
    return pages


async def test_packages_are_listed_in_the_order_of_their_consumption(rpc: Rpc) -> None:
    for number, hours in enumerate((30, 10, 20, 10, 20)):
        await rpc.grant(f"g{number}", 10 + number, hours=hours)
    pages = await lots(rpc, 2)
    assert [len(page) for page in pages] == [2, 2, 1]
    listed = [lot for page in pages for lot in page]
    assert [lot.granted for lot in listed] == [11, 13, 12, 14, 10]
    assert (listed[0].lot_id, listed[0].remaining, listed[0].reference, listed[0].grace) == (
        "7-2",
        11,
        "order 1",
        False,
    )
    assert listed[0].create_time.ToMilliseconds() == rpc.center.clock.now_ms
    assert listed[0].expire_time.ToMilliseconds() == rpc.center.clock.now_ms + 10 * HOUR_MS


async def test_a_last_page_that_is_full_has_no_next(rpc: Rpc) -> None:
    for number in range(4):
        await rpc.grant(f"g{number}", 1)
    assert [len(page) for page in await lots(rpc, 2)] == [2, 2]


async def test_used_up_packages_are_listed_for_who_asks(rpc: Rpc) -> None:
    await rpc.grant("g1", 5, hours=10)
    await rpc.grant("g2", 5, hours=20)
    await rpc.pay("p", await rpc.freeze("f", 7))
    assert [[lot.remaining for lot in page] for page in await lots(rpc, 10)] == [[3]]
    assert [[lot.remaining for lot in page] for page in await lots(rpc, 1, show_exhausted=True)] == [[0], [3]]


async def test_the_statement_is_gapless_and_adds_up(rpc: Rpc) -> None:
    await rpc.grant("g", 100, hours=2)
    freeze_id = await rpc.freeze("f", 10, hours=1)
    await rpc.pay("p", freeze_id, 4)
    rpc.center.clock.pass_ms(3 * HOUR_MS)
    await rpc.peer.call(rpc.jobs.ExpireSmsFreezes, pb.ExpireSmsFreezesRequest(freezes_max=10))
    listed = [entry for page in await entries(rpc, 2) for entry in page]
    assert [entry.seq for entry in listed] == list(range(1, len(listed) + 1))
    assert [pb.SmsEntryKind.Name(entry.kind).removeprefix("SMS_ENTRY_KIND_") for entry in listed] == [
        "GRANT", "FREEZE", "PAY", "LOT_EXPIRE", "FREEZE_EXPIRE", "LOT_EXPIRE",
    ]  # fmt: skip
    assert [entry.request_id for entry in listed[:3]] == ["g", "f", "p"]
    account = await rpc.account()
    assert sum(entry.available_delta for entry in listed) == account.available == 0
    assert sum(entry.frozen_delta for entry in listed) == account.frozen == 0
    assert sum(entry.spent_delta for entry in listed) == account.spent == 4
    assert sum(entry.expired_delta for entry in listed) == account.expired == 96
    assert sum(entry.granted_delta for entry in listed) == account.granted == 100


async def test_an_empty_list_is_one_empty_page(rpc: Rpc) -> None:
    assert await lots(rpc, 0) == [[]]
    assert await entries(rpc, 0) == [[]]


@pytest.mark.parametrize("token", ["x", "!!!!", base64.urlsafe_b64encode(b"[1]").decode(), "é", "x" * 65])
async def test_a_token_that_no_page_of_this_list_gave_is_refused(rpc: Rpc, token: str) -> None:
    with pytest.raises(DomainError) as refusal:
        await rpc.peer.call(rpc.stub.ListSmsLots, pb.ListSmsLotsRequest(brand_id=BRAND, page_token=token))
    assert refusal.value.reason == "INVALID_REQUEST"
    assert [violation.field for violation in refusal.value.violations] == ["page_token"]


@pytest.mark.parametrize("page_size", [-1, 1001])
async def test_a_page_of_a_wrong_size_is_refused(rpc: Rpc, page_size: int) -> None:
    with pytest.raises(DomainError) as refusal:
        await rpc.peer.call(rpc.stub.ListSmsEntries, pb.ListSmsEntriesRequest(brand_id=BRAND, page_size=page_size))
    assert [violation.field for violation in refusal.value.violations] == ["page_size"]
