"""Freezes that are paid in parts, late, twice or not at all, and releases that come at the wrong moment."""

from __future__ import annotations

from costcenter_rpc.domain import DAY_MS, Answer, ExpireFreeze, FreezeState, Pay, PrePay, Release
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, HOUR_MS, OTHER_BRAND, Center


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


async def test_frozen_credits_outlive_their_package(center: Center) -> None:
    await center.grant(10, lifetime_ms=HOUR_MS)
    freeze_id = await center.freeze("f", 10)
    center.clock.pass_ms(2 * HOUR_MS)
    assert await balance(center) == (0, 10, 0, 0)
    assert (await center.ledger.apply(Pay(BRAND, "p", freeze_id))).num == 10


async def test_expired_credits_cannot_be_frozen_before_any_sweep(center: Center) -> None:
    await center.grant(10, lifetime_ms=HOUR_MS)
    center.clock.pass_ms(HOUR_MS)
    assert reason_of(await center.do(PrePay(BRAND, "f", 1))) == "INSUFFICIENT_CREDIT"
    assert await balance(center) == (0, 0, 0, 10)


async def test_the_oldest_package_is_charged_first(center: Center) -> None:
    late = await center.grant(10, lifetime_ms=3 * DAY_MS)
    soon = await center.grant(10, lifetime_ms=DAY_MS)
    soon_too = await center.grant(10, lifetime_ms=DAY_MS)
    await center.pay("p", 25)
    allocations = [(row["lot_id"], row["num"]) for row in (await center.rows("allocation"))["allocation"]]
    assert allocations == [(soon, 10), (soon_too, 10), (late, 5)]


async def test_a_release_before_its_freeze_refuses_the_freeze(center: Center) -> None:
    await center.grant(10)
    assert (await center.ledger.apply(Release(BRAND, "r1", "f"))).num == 0
    assert reason_of(await center.do(PrePay(BRAND, "f", 5))) == "FREEZE_RELEASED"
    assert reason_of(await center.do(PrePay(BRAND, "f", 6))) == "FREEZE_RELEASED"
    assert (await center.ledger.apply(Release(BRAND, "r2", "f"))).num == 0
    assert await balance(center) == (10, 0, 0, 0)
    assert (await center.ledger.apply(PrePay(BRAND, "new", 5))).num == 5


async def test_a_release_of_a_refused_freeze_does_nothing(center: Center) -> None:
    assert reason_of(await center.do(PrePay(BRAND, "f", 5))) == "INSUFFICIENT_CREDIT"
    assert (await center.ledger.apply(Release(BRAND, "r", "f"))).num == 0
    assert reason_of(await center.do(PrePay(BRAND, "f", 5))) == "INSUFFICIENT_CREDIT"


async def test_a_release_beyond_what_is_left_is_refused(center: Center) -> None:
    await center.grant(10)
    await center.freeze("f", 5)
    refusal = await center.do(Release(BRAND, "r", "f", 6))
    assert isinstance(refusal, DomainError)
    assert (refusal.reason, refusal.metadata) == ("FREEZE_EXCEEDED", {"left": "5", "required": "6"})
    assert await balance(center) == (5, 5, 0, 0)


async def test_a_freeze_and_its_release_in_one_batch_happen_in_their_order(center: Center) -> None:
    await center.grant(10)
    answers = await center.ledger.apply_all(
        [PrePay(BRAND, "f1", 5), Release(BRAND, "r1", "f1"), Release(BRAND, "r2", "f2"), PrePay(BRAND, "f2", 5)]
    )
    assert [reason_of(one) if isinstance(one, DomainError) else "" for one in answers] == [
        "",
        "",
        "",
        "FREEZE_RELEASED",
    ]
    assert await balance(center) == (10, 0, 0, 0)


async def test_a_pay_releases_checks_and_deducts_in_one_step(center: Center) -> None:
    """Nobody can take the credit between the release of the freeze and its charge."""
    await center.grant(10)
    freeze_id = await center.freeze("f", 10)
    answers = await center.ledger.apply_all(
        [PrePay(BRAND, "f2", 1), Pay(BRAND, "p", freeze_id), PrePay(BRAND, "f3", 1)]
    )
    assert [isinstance(one, Answer) for one in answers] == [False, True, False]


async def test_the_default_lifetime_of_a_freeze(center: Center) -> None:
    await center.grant(10)
    freeze_id = await center.freeze("f", 10)
    freeze = await center.cost_center.get_freeze(BRAND, freeze_id)
    assert freeze.expires_at_ms == center.clock.now_ms + DAY_MS
    center.clock.pass_ms(DAY_MS - 1)
    assert await center.cost_center.expire_freezes(10) == 0
    center.clock.pass_ms(1)
    assert await center.cost_center.expire_freezes(10) == 1
    assert await balance(center) == (10, 0, 0, 0)


async def test_an_expiry_that_comes_too_early_or_late_does_nothing(center: Center) -> None:
    await center.grant(10)
    freeze_id = await center.freeze("f", 10, lifetime_ms=HOUR_MS)
    await center.ledger.apply(ExpireFreeze(BRAND, freeze_id))
    assert await balance(center) == (0, 10, 0, 0)
    await center.ledger.apply(Pay(BRAND, "p", freeze_id))
    await expire(center, freeze_id)
    assert await balance(center) == (0, 0, 10, 0)


async def test_another_brand_cannot_pay_release_or_see_a_freeze(center: Center) -> None:
    await center.grant(10)
    freeze_id = await center.freeze("f", 5)
    assert reason_of(await center.do(Pay(OTHER_BRAND, "p", freeze_id))) == "FREEZE_NOT_FOUND"
    assert (await center.ledger.apply(Release(OTHER_BRAND, "r", "f"))).num == 0
    await center.ledger.apply(ExpireFreeze(OTHER_BRAND, freeze_id))
    assert await balance(center) == (5, 5, 0, 0)


async def test_sweeps_go_on_until_nothing_is_due(center: Center) -> None:
    await center.grant(10)
    for number in range(5):
        await center.freeze(f"f{number}", 1, lifetime_ms=HOUR_MS + number)
    center.clock.pass_ms(2 * HOUR_MS)
    assert [await center.cost_center.expire_freezes(2) for _ in range(4)] == [2, 2, 1, 0]
    await center.grant(10, brand_id=OTHER_BRAND)
    center.clock.pass_ms(200 * DAY_MS)
    assert [await center.cost_center.expire_lots(1) for _ in range(3)] == [1, 1, 0]
