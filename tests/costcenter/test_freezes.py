"""Freezes that are paid in parts, late, twice or not at all, and releases that come at the wrong moment."""

from __future__ import annotations

from costcenter_rpc.domain import Answer, ExpireFreeze, FreezeState, Pay, PrePay, Release
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, HOUR_MS, Center


def reason_of(answer: Answer | DomainError) -> str:
    return answer.reason if isinstance(answer, DomainError) else ""


async def balance(center: Center) -> tuple[int, int, int, int]:
    account = await center.cost_center.get_account(BRAND)
    return account.available, account.frozen, account.spent, account.expired


async def expire(center: Center, freeze_id: str) -> None:
    center.clock.pass_ms(2 * HOUR_MS)
    await center.ledger.apply(ExpireFreeze(BRAND, freeze_id))


async def test_is_paid_in_parts_until_nothing_is_left(center: Center) -> None:
    await center.grant(100)
    freeze_id = await center.freeze("f", 10)
    assert (await center.ledger.apply(Pay(BRAND, "p1", freeze_id, 3))).num == 3
    assert reason_of(await center.do(Pay(BRAND, "p2", freeze_id, 8))) == "FREEZE_EXCEEDED"
    assert (await center.ledger.apply(Release(BRAND, "r1", "f", 2))).num == 2
    assert (await center.ledger.apply(Pay(BRAND, "p3", freeze_id))).num == 5
    assert (await center.cost_center.get_freeze(BRAND, freeze_id)).state is FreezeState.PAID
    assert reason_of(await center.do(Pay(BRAND, "p4", freeze_id))) == "FREEZE_ALREADY_PAID"
    assert await balance(center) == (92, 0, 8, 0)


async def test_one_credit_more_than_there_is_cannot_be_frozen(center: Center) -> None:
    await center.grant(10)
    refusal = await center.do(PrePay(BRAND, "f1", 11))
    assert isinstance(refusal, DomainError)
    assert (refusal.reason, refusal.metadata) == ("INSUFFICIENT_CREDIT", {"available": "10", "required": "11"})
    await center.freeze("f2", 10)
    assert reason_of(await center.do(PrePay(BRAND, "f3", 1))) == "INSUFFICIENT_CREDIT"
    assert await balance(center) == (0, 10, 0, 0)


async def test_what_is_left_of_an_expired_freeze_is_charged_late_from_what_is_available(center: Center) -> None:
    await center.grant(10)
    freeze_id = await center.freeze("f", 8, lifetime_ms=HOUR_MS)
    await expire(center, freeze_id)
    assert await balance(center) == (10, 0, 0, 0)
    assert (await center.ledger.apply(Pay(BRAND, "p1", freeze_id, 3))).num == 3
    assert (await center.ledger.apply(Pay(BRAND, "p2", freeze_id))).num == 5
    assert reason_of(await center.do(Pay(BRAND, "p3", freeze_id))) == "FREEZE_EXPIRED"
    assert await balance(center) == (2, 0, 8, 0)


async def test_a_late_charge_without_credit_is_refused(center: Center) -> None:
    await center.grant(10)
    freeze_id = await center.freeze("f", 8, lifetime_ms=HOUR_MS)
    await expire(center, freeze_id)
    await center.freeze("other", 5)
    refusal = await center.do(Pay(BRAND, "p", freeze_id))
    assert isinstance(refusal, DomainError)
    assert (refusal.reason, refusal.metadata) == ("INSUFFICIENT_CREDIT", {"available": "5", "required": "8"})
    assert await balance(center) == (5, 5, 0, 0)


async def test_a_late_charge_leaves_alone_what_was_released_by_request(center: Center) -> None:
    await center.grant(100)
    freeze_id = await center.freeze("f", 10, lifetime_ms=HOUR_MS)
    await center.ledger.apply(Release(BRAND, "r", "f", 4))
    await expire(center, freeze_id)
    assert reason_of(await center.do(Pay(BRAND, "p1", freeze_id, 7))) == "FREEZE_EXCEEDED"
    assert (await center.ledger.apply(Pay(BRAND, "p2", freeze_id))).num == 6
    assert await balance(center) == (94, 0, 6, 0)


async def test_what_a_late_freeze_or_release_gives_back_from_an_expired_package_expires_at_once(center: Center) -> None:
    await center.grant(10, lifetime_ms=HOUR_MS)
    expiring = await center.freeze("f1", 4, lifetime_ms=HOUR_MS)
    await center.freeze("f2", 6)
    center.clock.pass_ms(2 * HOUR_MS)
    released = await center.ledger.apply(Release(BRAND, "r", "f2", 5))
    assert (released.num, released.balance.available, released.balance.expired) == (5, 0, 5)
    expired = await center.ledger.apply(ExpireFreeze(BRAND, expiring))
    assert (expired.balance.available, expired.balance.frozen, expired.balance.expired) == (0, 1, 9)
