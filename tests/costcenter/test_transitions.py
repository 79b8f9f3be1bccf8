"""Each pair of state and event, written out: what it becomes, or why it is refused."""

from __future__ import annotations

import itertools

import pytest

from costcenter_rpc.domain import (
    FREEZE_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    Answer,
    ExpireFreeze,
    FreezeEvent,
    FreezeState,
    Pay,
    PaymentState,
    Release,
    ReportStatus,
    SendStatus,
)
from tests.costcenter.harness import BRAND, HOUR_MS, Center

FREEZES = {
    ("FROZEN", "CAPTURE_PART"): "FROZEN",
    ("FROZEN", "CAPTURE_REST"): "PAID",
    ("FROZEN", "RELEASE_PART"): "FROZEN",
    ("FROZEN", "RELEASE_REST"): "RELEASED",
    ("FROZEN", "EXPIRE"): "EXPIRED",
    ("PAID", "CAPTURE_PART"): "FREEZE_ALREADY_PAID",
    ("PAID", "CAPTURE_REST"): "FREEZE_ALREADY_PAID",
    ("PAID", "RELEASE_PART"): "FREEZE_ALREADY_PAID",
    ("PAID", "RELEASE_REST"): "FREEZE_ALREADY_PAID",
    ("PAID", "EXPIRE"): "PAID",
    ("RELEASED", "CAPTURE_PART"): "FREEZE_RELEASED",
    ("RELEASED", "CAPTURE_REST"): "FREEZE_RELEASED",
    ("RELEASED", "RELEASE_PART"): "RELEASED",
    ("RELEASED", "RELEASE_REST"): "RELEASED",
    ("RELEASED", "EXPIRE"): "RELEASED",
    ("EXPIRED", "CAPTURE_PART"): "EXPIRED",
    ("EXPIRED", "CAPTURE_REST"): "EXPIRED",
    ("EXPIRED", "RELEASE_PART"): "EXPIRED",
    ("EXPIRED", "RELEASE_REST"): "EXPIRED",
    ("EXPIRED", "EXPIRE"): "EXPIRED",
}

PAYMENTS = {
    ("CHARGED", "SENT"): "SENT",
    ("CHARGED", "FAILED"): "FAILED",
    ("SENT", "SENT"): "SENT",
    ("SENT", "FAILED"): "PAYMENT_ALREADY_SENT",
    ("FAILED", "SENT"): "PAYMENT_ALREADY_FAILED",
    ("FAILED", "FAILED"): "FAILED",
}

MOVED = {"CAPTURE_PART": 4, "CAPTURE_REST": 10, "RELEASE_PART": 4, "RELEASE_REST": 10}
"""Credits that an event moves out of an open freeze of ten."""


def test_the_tables_are_written_out_here() -> None:
    assert set(FREEZES) == set(itertools.product(FreezeState, FreezeEvent))
    assert set(PAYMENTS) == set(itertools.product(PaymentState, SendStatus))
    # An expiry is asked for by nobody, so there is nobody to refuse it: where it does not apply it does nothing.
    assert set(FREEZE_TRANSITIONS) == {
        pair for pair, after in FREEZES.items() if after in set(FreezeState) and (pair[1], pair[0]) != ("EXPIRE", after)
    }
    assert set(PAYMENT_TRANSITIONS) == {pair for pair, after in PAYMENTS.items() if after in set(PaymentState)}


async def do_event(center: Center, freeze_id: str, event: str, request_id: str) -> Answer | str:
    """Do what brings an event about; answer a refusal by its reason."""
    num = 4 if event.endswith("PART") else 0
    match event:
        case "CAPTURE_PART" | "CAPTURE_REST":
            answer = await center.do(Pay(BRAND, request_id, freeze_id, num))
        case "RELEASE_PART" | "RELEASE_REST":
            answer = await center.do(Release(BRAND, request_id, "freeze", num))
        case _:
            center.clock.pass_ms(2 * HOUR_MS)
            answer = await center.do(ExpireFreeze(BRAND, freeze_id))
    return answer if isinstance(answer, Answer) else answer.reason


@pytest.mark.parametrize(("pair", "after"), FREEZES.items(), ids=lambda value: "-".join(value) if value else "")
async def test_freeze(center: Center, pair: tuple[str, str], after: str) -> None:
    state, event = pair
    await center.grant(100)
    freeze_id = await center.freeze("freeze", 10, lifetime_ms=HOUR_MS)
    reach = {"PAID": "CAPTURE_REST", "RELEASED": "RELEASE_REST", "EXPIRED": "EXPIRE"}
    if state in reach:
        assert isinstance(await do_event(center, freeze_id, reach[state], "reach"), Answer)
    before = await center.rows("freeze", "account", "lot", "payment", "entry")

    answer = await do_event(center, freeze_id, event, "event")

    freeze = await center.cost_center.get_freeze(BRAND, freeze_id)
    if after not in set(FreezeState):
        assert (answer, freeze.state) == (after, state)
        assert await center.rows("freeze", "account", "lot", "payment", "entry") == before
        return
    assert isinstance(answer, Answer)
    assert freeze.state == after
    changes = state == "FROZEN" or (state == "EXPIRED" and event.startswith("CAPTURE"))
    assert answer.num == (MOVED.get(event, 0) if changes else 0)
    assert (await center.rows("entry") != {"entry": before["entry"]}) == changes


@pytest.mark.parametrize(("pair", "after"), PAYMENTS.items(), ids=lambda value: "-".join(value) if value else "")
async def test_payment(center: Center, pair: tuple[str, str], after: str) -> None:
    state, report = pair
    await center.grant(100)
    payment_id = await center.pay("pay", 10)
    if state != "CHARGED":
        await center.ledger.apply(ReportStatus(BRAND, "reach", payment_id, SendStatus(state)))
    before = await center.rows("payment", "account", "lot", "allocation", "entry")

    answer = await center.do(ReportStatus(BRAND, "report", payment_id, SendStatus(report)))

    (payment,) = (await center.rows("payment"))["payment"]
    if after not in set(PaymentState):
        assert not isinstance(answer, Answer)
        assert (answer.reason, payment["state"]) == (after, state)
        assert await center.rows("payment", "account", "lot", "allocation", "entry") == before
        return
    assert isinstance(answer, Answer)
    assert payment["state"] == after
    assert answer.num == (10 if pair == ("CHARGED", "FAILED") else 0)
    assert payment["refunded"] == (10 if after == "FAILED" else 0)
