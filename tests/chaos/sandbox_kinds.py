"""What the sandbox can be made to do, as its own registers say."""

from __future__ import annotations

from sandbox.chuanglan.faults import FAULT_KINDS as CHUANGLAN
from sandbox.payment.faults import FAULT_KINDS as PAYMENT
from sandbox.txim.faults import FAULT_KINDS as TXIM


def sandbox_kinds() -> set[str]:
    return {kind.kind for kind in (*CHUANGLAN, *PAYMENT, *TXIM)}
