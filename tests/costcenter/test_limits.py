"""Values that no honest caller sends: they fail alone, for a reason."""

from __future__ import annotations

import pytest

from costcenter_rpc.domain import TIME_MAX_MS, Answer, Grant, Operation, PrePay
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
