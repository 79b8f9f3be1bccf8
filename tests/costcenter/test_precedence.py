"""Which refusal a request gets that has several things wrong with it.

The account, then the request id, then what the request names, then its state, then the amount, then the credit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from costcenter_rpc.domain import (
    ExpireFreeze,
    Grant,
    Operation,
    Pay,
    PrePay,
    Release,
    ReportReceipt,
    ReportStatus,
    SendStatus,
)
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, HOUR_MS, START_MS, Center

NOBODY = 404
PAST_MS = START_MS - 1
USED = "used"


@dataclass(frozen=True)
class Ids:
    """What there is: freezes of ten in each state, a payment reported as sent, and three credits that are available."""

    frozen: str
    paid: str
    released: str
    expired: str
    payment: str
    unknown: str = f"{BRAND}-999"


CASES: dict[str, tuple[Callable[[Ids], Operation], str]] = {
    "account before id": (lambda ids: Pay(NOBODY, USED, ids.unknown, 99), "ACCOUNT_NOT_FOUND"),
    "account before time": (lambda _: Grant(NOBODY, USED, 5, PAST_MS), "ACCOUNT_NOT_FOUND"),
    "id before time": (lambda _: Grant(BRAND, USED, 5, PAST_MS), "KEY_REUSED"),
    "id before credit": (lambda _: PrePay(BRAND, USED, 99), "KEY_REUSED"),
    "id before freeze": (lambda ids: Pay(BRAND, USED, ids.unknown, 99), "KEY_REUSED"),
    "id before state": (lambda _: Release(BRAND, USED, "paid", 99), "KEY_REUSED"),
    "id before payment": (lambda ids: ReportStatus(BRAND, USED, ids.unknown, SendStatus.SENT), "KEY_REUSED"),
    "id before payment of a receipt": (
        lambda ids: ReportReceipt(BRAND, USED, ids.unknown, 1, delivered=True, charged_num=1),
        "KEY_REUSED",
    ),
    "time before credit": (lambda _: PrePay(BRAND, "new", 99, PAST_MS), "INVALID_EXPIRE_TIME"),
    "freeze before amount": (lambda ids: Pay(BRAND, "new", ids.unknown, 99), "FREEZE_NOT_FOUND"),
    "paid before amount": (lambda ids: Pay(BRAND, "new", ids.paid, 99), "FREEZE_ALREADY_PAID"),
    "released before amount": (lambda ids: Pay(BRAND, "new", ids.released, 99), "FREEZE_RELEASED"),
    "amount of an open freeze": (lambda ids: Pay(BRAND, "new", ids.frozen, 99), "FREEZE_EXCEEDED"),
    "amount before credit": (lambda ids: Pay(BRAND, "new", ids.expired, 99), "FREEZE_EXCEEDED"),
    "credit last": (lambda ids: Pay(BRAND, "new", ids.expired, 10), "INSUFFICIENT_CREDIT"),
    "paid before amount of a release": (lambda _: Release(BRAND, "new", "paid", 99), "FREEZE_ALREADY_PAID"),
    "nothing to release before amount": (lambda _: Release(BRAND, "new", "released", 99), ""),
    "nothing to release after expiry before amount": (lambda _: Release(BRAND, "new", "expired", 99), ""),
    "amount of a release": (lambda _: Release(BRAND, "new", "frozen", 99), "FREEZE_EXCEEDED"),
    "state of a payment": (
        lambda ids: ReportStatus(BRAND, "new", ids.payment, SendStatus.FAILED),
        "PAYMENT_ALREADY_SENT",
    ),
}


async def make_all(center: Center) -> Ids:
    await center.grant(43)
    freezes = {name: await center.freeze(name, 10, lifetime_ms=HOUR_MS) for name in ("paid", "released", "expired")}
    payment_id = (await center.ledger.apply(Pay(BRAND, "pay", freezes["paid"]))).object_id
    await center.ledger.apply(ReportStatus(BRAND, "sent", payment_id, SendStatus.SENT))
    await center.ledger.apply(Release(BRAND, "release", "released"))
    frozen = await center.freeze("frozen", 10, lifetime_ms=3 * HOUR_MS)
    center.clock.pass_ms(2 * HOUR_MS)
    await center.ledger.apply(ExpireFreeze(BRAND, freezes["expired"]))
    await center.freeze("rest", 20, lifetime_ms=3 * HOUR_MS)
    await use_id_for_everything(center, payment_id)
    return Ids(frozen, payment=payment_id, **freezes)


async def use_id_for_everything(center: Center, payment_id: str) -> None:
    """Ids are unique by kind, so each kind has to use it."""
    for operation in (
        Grant(BRAND, USED, 1, START_MS),
        PrePay(BRAND, USED, 1000),
        Pay(BRAND, USED, "7-1000"),
        Release(BRAND, USED, "released"),
        ReportStatus(BRAND, USED, payment_id, SendStatus.SENT),
        ReportReceipt(BRAND, USED, payment_id, 1, delivered=True, charged_num=1),
    ):
        await center.do(operation)


@pytest.mark.parametrize("case", CASES)
async def test_precedence(center: Center, case: str) -> None:
    ids = await make_all(center)
    make, reason = CASES[case]
    answer = await center.do(make(ids))
    assert (answer.reason if isinstance(answer, DomainError) else "") == reason
