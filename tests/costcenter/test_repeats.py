"""One request id, one effect, one answer: at once, later, beside a changed twin, and after the answer was a refusal."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from costcenter_rpc.domain import (
    Answer,
    Grant,
    Operation,
    Pay,
    PrePay,
    Release,
    ReportReceipt,
    ReportStatus,
    Request,
    SendStatus,
)
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, OTHER_BRAND, START_MS, Center

LATER_MS = START_MS + 10**9


def requests(freeze_id: str, payment_id: str) -> dict[str, Request]:
    return {
        "grant": Grant(BRAND, "id", 5, LATER_MS),
        "prepay": PrePay(BRAND, "id", 5),
        "pay": Pay(BRAND, "id", freeze_id, 2),
        "release": Release(BRAND, "id", "f", 2),
        "status": ReportStatus(BRAND, "id", payment_id, SendStatus.FAILED, 1, 2),
        "receipt": ReportReceipt(BRAND, "id", payment_id, 1, delivered=False, charged_num=2),
    }


OTHER_BODY = {
    "grant": {"num": 6},
    "prepay": {"num": 6},
    "pay": {"num": 3},
    "release": {"freeze_request_id": "other"},
    "status": {"status": SendStatus.SENT},
    "receipt": {"delivered": True},
}


async def prepared(center: Center) -> dict[str, Request]:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    return requests(await center.freeze("f", 10), payment_id)


@pytest.mark.parametrize("kind", OTHER_BODY)
async def test_a_repeat_gets_the_first_answer_and_another_body_is_refused(center: Center, kind: str) -> None:
    request = (await prepared(center))[kind]
    first = await center.do(request)
    assert isinstance(first, Answer)
    await center.grant(50)
    before = await center.rows()
    assert await center.do(request) == first
    twin = await center.do(replace(request, **OTHER_BODY[kind]))  # type: ignore[arg-type]  # fields of each kind
    assert isinstance(twin, DomainError)
    assert twin.reason == "KEY_REUSED"
    assert await center.do(request) == first
    assert await center.rows() == before


@pytest.mark.parametrize("kind", OTHER_BODY)
async def test_repeats_and_twins_in_one_batch_have_one_effect(center: Center, kind: str) -> None:
    request = (await prepared(center))[kind]
    twin = replace(request, **OTHER_BODY[kind])  # type: ignore[arg-type]  # fields of each kind
    entries = len((await center.rows("entry"))["entry"])
    answers = await asyncio.gather(*(center.do(one) for one in (request, request, twin, request)))
    first, second, other, third = answers
    assert isinstance(first, Answer)
    assert first == second == third
    assert isinstance(other, DomainError)
    assert other.reason == "KEY_REUSED"
    assert len((await center.rows("entry"))["entry"]) == entries + 1


async def test_the_kinds_and_brands_have_ids_of_their_own(center: Center) -> None:
    for request in (await prepared(center)).values():
        assert isinstance(await center.do(request), Answer)
    assert isinstance(await center.do(Grant(OTHER_BRAND, "id", 7, LATER_MS)), Answer)


async def test_ids_that_differ_by_case_are_two(center: Center) -> None:
    """MariaDB's default takes them for one."""
    await center.grant(10)
    for request_id in ("id", "ID", "Id"):
        assert isinstance(await center.do(PrePay(BRAND, request_id, 1)), Answer)
    stored = await center.jobs.store_all([Release(BRAND, request_id, request_id) for request_id in ("id", "ID")])
    assert len(set(stored)) == 2


async def test_a_refusal_stays_when_its_cause_has_gone(center: Center) -> None:
    request = PrePay(BRAND, "f", 5)
    first = await center.do(request)
    assert isinstance(first, DomainError)
    await center.grant(100)
    again = await center.do(request)
    assert isinstance(again, DomainError)
    assert (again.reason, again.message, again.metadata) == (first.reason, first.message, first.metadata)
    assert isinstance(await center.do(replace(request, request_id="new")), Answer)


async def test_a_brand_without_account_is_not_remembered(center: Center) -> None:
    request = Grant(9, "g", 5, LATER_MS)
    refusal = await center.do(request)
    assert isinstance(refusal, DomainError)
    assert refusal.reason == "ACCOUNT_NOT_FOUND"
    await center.open(9)
    assert isinstance(await center.do(request), Answer)


async def test_a_repeated_freeze_may_tell_another_time(center: Center) -> None:
    await center.grant(100)
    first = await center.do(PrePay(BRAND, "f", 5, LATER_MS))
    assert await center.do(PrePay(BRAND, "f", 5, LATER_MS + 1)) == first
    assert isinstance(first, Answer)
    assert (await center.cost_center.get_freeze(BRAND, first.object_id)).expires_at_ms == LATER_MS


REFUSED: tuple[Operation, ...] = (
    Grant(BRAND, "id", 5, START_MS),
    PrePay(BRAND, "id", 1000),
    Pay(BRAND, "id", f"{BRAND}-999"),
    Release(BRAND, "id", "p"),
    Release(BRAND, "id", "f", 11),
    ReportStatus(BRAND, "id", f"{BRAND}-999", SendStatus.SENT),
    ReportReceipt(BRAND, "id", f"{BRAND}-999", 1, delivered=True, charged_num=1),
)


@pytest.mark.parametrize("operation", REFUSED, ids=repr)
async def test_a_refusal_changes_no_row_and_is_remembered(center: Center, operation: Operation) -> None:
    await prepared(center)
    before = await center.rows()
    assert isinstance(await center.do(operation), DomainError)
    after = await center.rows()
    (remembered,) = (row for row in after["remembered_request"] if row not in before["remembered_request"])
    after["remembered_request"].remove(remembered)
    assert after == before
