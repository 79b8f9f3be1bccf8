"""What provider and carrier report of a payment: in any order, twice, contradicting, and after its packages expired."""

from __future__ import annotations

from costcenter_rpc.domain import DAY_MS, Answer, ReportReceipt, ReportStatus, SendStatus
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, OTHER_BRAND, Center


async def spent(center: Center) -> int:
    return (await center.cost_center.get_account(BRAND)).spent


async def receipt(
    center: Center, request_id: str, payment_id: str, charged: int, *, billed: int = 0, delivered: bool = False
) -> int:
    """Report a receipt of message 1; answer the credits that it moved (charged: positive, given back: negative)."""
    report = ReportReceipt(BRAND, request_id, payment_id, 1, delivered, charged, billed)
    return (await center.ledger.apply(report)).num


async def failure(center: Center, request_id: str, payment_id: str, *, message_id: int = 0, num: int = 0) -> int:
    report = ReportStatus(BRAND, request_id, payment_id, SendStatus.FAILED, message_id, num)
    return (await center.ledger.apply(report)).num


async def test_a_refused_message_is_refunded_once(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    assert await failure(center, "s1", payment_id, message_id=1, num=2) == 2
    assert await failure(center, "s2", payment_id, message_id=1, num=2) == 0
    assert await failure(center, "s3", payment_id, message_id=2, num=3) == 3
    assert await spent(center) == 5


async def test_a_refused_message_and_then_its_receipt_refund_once(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    assert await failure(center, "s", payment_id, message_id=1, num=2) == 2
    assert await receipt(center, "r", payment_id, 2) == 0
    assert await spent(center) == 8


async def test_a_failed_payment_refunds_what_its_messages_left(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    assert await receipt(center, "r1", payment_id, 2) == -2
    assert await failure(center, "s", payment_id) == 8
    assert await receipt(center, "r2", payment_id, 2) == 0
    assert await spent(center) == 0


async def test_no_message_gives_back_more_than_was_paid(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 3)
    assert await failure(center, "s", payment_id, message_id=1, num=1_000_000) == 3
    assert await spent(center) == 0


async def test_a_receipt_may_come_before_the_providers_answer(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    assert await receipt(center, "r", payment_id, 2) == -2
    assert (await center.ledger.apply(ReportStatus(BRAND, "s", payment_id, SendStatus.SENT))).num == 0
    assert await spent(center) == 8


async def test_a_delivered_message_costs_what_was_billed(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    assert await receipt(center, "same", payment_id, 3, billed=3, delivered=True) == 0
    assert await receipt(center, "not-said", payment_id, 3, delivered=True) == 0
    assert await receipt(center, "less", payment_id, 3, billed=2, delivered=True) == -1
    assert await spent(center) == 9


async def test_the_last_charged_package_is_refunded_first(center: Center) -> None:
    first = await center.grant(4, lifetime_ms=DAY_MS)
    second = await center.grant(10, lifetime_ms=2 * DAY_MS)
    payment_id = await center.pay("p", 10)
    assert await failure(center, "s1", payment_id, message_id=1, num=5) == 5
    assert await failure(center, "s2", payment_id, message_id=2, num=2) == 2
    refunded = {row["lot_id"]: row["refunded"] for row in (await center.rows("allocation"))["allocation"]}
    assert refunded == {second: 6, first: 1}
    assert {row["lot_id"]: row["remaining"] for row in (await center.rows("lot"))["lot"]} == {first: 1, second: 10}


async def test_a_refund_to_an_expired_package_goes_to_one_grace_package_a_day(center: Center) -> None:
    await center.grant(10, lifetime_ms=DAY_MS)
    payment_id = await center.pay("p", 10)
    center.clock.pass_ms(2 * DAY_MS)
    assert await failure(center, "s1", payment_id, message_id=1, num=2) == 2
    assert await failure(center, "s2", payment_id, message_id=2, num=3) == 3
    center.clock.pass_ms(DAY_MS)
    assert await failure(center, "s3", payment_id, message_id=3, num=4) == 4
    grace = [row for row in (await center.rows("lot"))["lot"] if row["grace"]]
    assert sorted(row["remaining"] for row in grace) == [4, 5]
    assert all(7 * DAY_MS <= row["expires_at_ms"] - row["created_at_ms"] < 8 * DAY_MS for row in grace)
    kinds = [row["kind"] for row in (await center.rows("entry"))["entry"]]
    assert kinds == ["GRANT", "FREEZE", "PAY", "REFUND_GRACE", "REFUND_GRACE", "REFUND_GRACE"]
    center.clock.pass_ms(8 * DAY_MS)
    account = await center.cost_center.get_account(BRAND)
    assert (account.available, account.spent, account.expired, account.granted) == (0, 1, 9, 10)


async def test_a_package_takes_refunds_until_the_very_moment_it_expires(center: Center) -> None:
    await center.grant(10, lifetime_ms=DAY_MS)
    payment_id = await center.pay("p", 10)
    center.clock.pass_ms(DAY_MS - 1)
    assert await failure(center, "s1", payment_id, message_id=1, num=2) == 2
    center.clock.pass_ms(1)
    assert await failure(center, "s2", payment_id, message_id=2, num=3) == 3
    kinds = [row["kind"] for row in (await center.rows("entry"))["entry"]]
    assert kinds[-3:] == ["REFUND", "LOT_EXPIRE", "REFUND_GRACE"]


async def test_a_refund_may_go_to_an_open_and_an_expired_package(center: Center) -> None:
    await center.grant(4, lifetime_ms=DAY_MS)
    await center.grant(10, lifetime_ms=20 * DAY_MS)
    payment_id = await center.pay("p", 10)
    center.clock.pass_ms(2 * DAY_MS)
    assert await failure(center, "s", payment_id) == 10
    moved = [(row["kind"], row["available"]) for row in (await center.rows("entry"))["entry"]]
    assert moved[-2:] == [("REFUND", 6), ("REFUND_GRACE", 4)]


async def test_reports_of_an_unknown_or_foreign_payment_are_refused(center: Center) -> None:
    await center.grant(10)
    payment_id = await center.pay("p", 5)
    for brand_id, named in ((BRAND, f"{BRAND}-999"), (OTHER_BRAND, payment_id), (BRAND, f"0{payment_id}")):
        for report in (
            ReportStatus(brand_id, named, named, SendStatus.FAILED),
            ReportReceipt(brand_id, named, named, 1, delivered=False, charged_num=1),
        ):
            answer = await center.do(report)
            assert isinstance(answer, DomainError)
            assert answer.reason == "PAYMENT_NOT_FOUND"
    assert await spent(center) == 5


async def test_a_message_that_was_sent_is_no_reason_to_refund(center: Center) -> None:
    await center.grant(10)
    payment_id = await center.pay("p", 5)
    answer = await center.do(ReportStatus(BRAND, "s", payment_id, SendStatus.SENT, message_id=1, num=2))
    assert isinstance(answer, Answer)
    assert answer.num == 0
    assert await spent(center) == 5


async def test_a_message_that_is_paid_twice_is_refunded_by_each_payment(center: Center) -> None:
    """A failed message that is sent again is paid again; its second failure is no repeat of the first."""
    await center.grant(100)
    first, second = await center.pay("p1", 5), await center.pay("p2", 5)
    assert await failure(center, "s1", first, message_id=1, num=1) == 1
    assert await receipt(center, "r1", second, 1) == -1
    assert await receipt(center, "r2", second, 1) == 0
    assert await spent(center) == 8


async def test_what_was_billed_beyond_the_charge_is_charged_once(center: Center) -> None:
    await center.grant(100)
    payment_id = await center.pay("p", 10)
    assert await receipt(center, "r1", payment_id, 1, billed=3, delivered=True) == 2
    assert await receipt(center, "r2", payment_id, 1, billed=3, delivered=True) == 0
    assert await receipt(center, "r3", payment_id, 1, billed=4, delivered=True) == 1
    assert await spent(center) == 13
    assert await receipt(center, "r4", payment_id, 1) == -4
    assert await spent(center) == 9


async def test_what_was_billed_without_credit_is_a_shortfall_until_it_can_be_charged(center: Center) -> None:
    await center.grant(10)
    payment_id = await center.pay("p", 10)
    for request_id in ("r1", "r2"):
        assert await receipt(center, request_id, payment_id, 1, billed=3, delivered=True) == 0
        (settlement,) = (await center.rows("settlement"))["settlement"]
        assert (settlement["extra"], settlement["shortfall"]) == (0, 2)
    await center.grant(10)
    assert await receipt(center, "r3", payment_id, 1, billed=3, delivered=True) == 2
    (settlement,) = (await center.rows("settlement"))["settlement"]
    assert (settlement["extra"], settlement["shortfall"]) == (2, 0)
