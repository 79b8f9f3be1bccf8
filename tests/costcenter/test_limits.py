"""Values that no honest caller sends: they fail alone, for a reason."""

from __future__ import annotations

import pytest

from costcenter_rpc.domain import TIME_MAX_MS, Answer, Grant, Operation, Pay, PrePay, ReportStatus, SendStatus
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, Center


@pytest.mark.parametrize("expires_at_ms", [-1, 1, TIME_MAX_MS + 1, 1 << 63, 10**30])
async def test_a_time_out_of_range_is_refused_and_spoils_no_batch(center: Center, expires_at_ms: int) -> None:
    operations: list[Operation] = [
        Grant(BRAND, "g1", 5, expires_at_ms),
        Grant(BRAND, "g2", 5, TIME_MAX_MS),
        PrePay(BRAND, "f1", 5, expires_at_ms),
        PrePay(BRAND, "f2", 5, TIME_MAX_MS),
    ]
    answers = await center.ledger.apply_all(operations)
    assert [one.reason if isinstance(one, DomainError) else type(one) for one in answers] == [
        "INVALID_EXPIRE_TIME", Answer, "INVALID_EXPIRE_TIME", Answer,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "object_id", ["", "-", "x-1", f"{BRAND}", f"{BRAND}-x", f"0{BRAND}-1", f" {BRAND}-1", "\uff19-1"]
)
async def test_an_id_that_no_object_has_is_not_found_and_spoils_no_batch(center: Center, object_id: str) -> None:
    answers = await center.ledger.apply_all(
        [
            Pay(BRAND, "p", object_id),
            ReportStatus(BRAND, "s", object_id, SendStatus.FAILED),
            Grant(BRAND, "g", 5, TIME_MAX_MS),
        ]
    )
    assert [one.reason if isinstance(one, DomainError) else type(one) for one in answers] == [
        "FREEZE_NOT_FOUND", "PAYMENT_NOT_FOUND", Answer,
    ]  # fmt: skip


async def test_a_defect_that_one_operation_brings_to_light_fails_it_alone(center: Center) -> None:
    broken = Grant(BRAND, "broken", "five", TIME_MAX_MS)  # type: ignore[arg-type]  # stands for any defect
    good = [Grant(BRAND, f"g{number}", 1, TIME_MAX_MS) for number in range(9)]
    answers = await center.ledger.apply_all([*good[:5], broken, *good[5:]])
    assert [type(answer) for answer in answers] == [Answer] * 5 + [TypeError] + [Answer] * 4
    assert (await center.cost_center.get_account(BRAND)).available == 9
