import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.transitions import changes
from order_rpc.payment.domain import (
    PAYMENT_TRANSITIONS,
    REFUND_TRANSITIONS,
    Business,
    Payment,
    PaymentEvent,
    PaymentStatus,
    Policy,
    RefundEvent,
    RefundStatus,
)

REFUSED = None

PAYMENT_CASES = [
    (PaymentStatus.PENDING, PaymentEvent.PAY, PaymentStatus.PAID),
    (PaymentStatus.PENDING, PaymentEvent.CLOSE, PaymentStatus.CLOSED),
    (PaymentStatus.PENDING, PaymentEvent.PAY_BACK, REFUSED),
    (PaymentStatus.PAID, PaymentEvent.PAY, PaymentStatus.PAID),
    (PaymentStatus.PAID, PaymentEvent.CLOSE, PaymentStatus.PAID),
    (PaymentStatus.PAID, PaymentEvent.PAY_BACK, PaymentStatus.REFUNDED),
    (PaymentStatus.CLOSED, PaymentEvent.PAY, PaymentStatus.REFUNDING),
    (PaymentStatus.CLOSED, PaymentEvent.CLOSE, PaymentStatus.CLOSED),
    (PaymentStatus.CLOSED, PaymentEvent.PAY_BACK, REFUSED),
    (PaymentStatus.REFUNDING, PaymentEvent.PAY, PaymentStatus.REFUNDING),
    (PaymentStatus.REFUNDING, PaymentEvent.CLOSE, PaymentStatus.REFUNDING),
    (PaymentStatus.REFUNDING, PaymentEvent.PAY_BACK, PaymentStatus.REFUNDED),
    (PaymentStatus.REFUNDED, PaymentEvent.PAY, PaymentStatus.REFUNDED),
    (PaymentStatus.REFUNDED, PaymentEvent.CLOSE, PaymentStatus.REFUNDED),
    (PaymentStatus.REFUNDED, PaymentEvent.PAY_BACK, REFUSED),
]

REFUND_CASES = [
    (RefundStatus.PENDING, RefundEvent.MAKE, RefundStatus.MADE),
    (RefundStatus.PENDING, RefundEvent.REFUSE, RefundStatus.REFUSED),
    (RefundStatus.MADE, RefundEvent.MAKE, RefundStatus.MADE),
    (RefundStatus.MADE, RefundEvent.REFUSE, REFUSED),
    (RefundStatus.REFUSED, RefundEvent.MAKE, REFUSED),
    (RefundStatus.REFUSED, RefundEvent.REFUSE, RefundStatus.REFUSED),
]


@pytest.mark.parametrize(("status", "event", "after"), PAYMENT_CASES)
def test_each_transition_of_a_payment(status: PaymentStatus, event: PaymentEvent, after: PaymentStatus | None) -> None:
    assert PAYMENT_TRANSITIONS.get((status, event)) == after


@pytest.mark.parametrize(("status", "event", "after"), REFUND_CASES)
def test_each_transition_of_a_refund(status: RefundStatus, event: RefundEvent, after: RefundStatus | None) -> None:
    assert REFUND_TRANSITIONS.get((status, event)) == after


def test_the_cases_leave_nothing_out() -> None:
    assert {case[:2] for case in PAYMENT_CASES} == set(itertools.product(PaymentStatus, PaymentEvent))
    assert {case[:2] for case in REFUND_CASES} == set(itertools.product(RefundStatus, RefundEvent))


def test_no_event_moves_a_row_twice() -> None:
    """The statements of one event run one after the other: none may take up what another left."""
    for payment_event in PaymentEvent:
        payments = changes(PAYMENT_TRANSITIONS, payment_event)
        assert not set(payments) & set(itertools.chain(*payments.values()))
    for refund_event in RefundEvent:
        refunds = changes(REFUND_TRANSITIONS, refund_event)
        assert not set(refunds) & set(itertools.chain(*refunds.values()))


@pytest.mark.parametrize(
    ("status", "refunded_fen", "refundable_fen"),
    [
        (PaymentStatus.PENDING, 0, 0),
        (PaymentStatus.CLOSED, 0, 0),
        (PaymentStatus.PAID, 0, 100),
        (PaymentStatus.PAID, 30, 70),
        (PaymentStatus.REFUNDING, 100, 0),
        (PaymentStatus.REFUNDED, 100, 0),
    ],
)
def test_what_may_still_be_paid_back(status: PaymentStatus, refunded_fen: int, refundable_fen: int) -> None:
    payment = Payment(1, Business("order", "1"), 7, "sandbox", status, 100, "x", 0, refunded_fen)
    assert payment.refundable_fen == refundable_fen


@given(st.integers(0, 10**13), st.integers(0, 10**12))
def test_pauses_are_as_long_as_the_age_within_bounds(since_ms: int, age_ms: int) -> None:
    policy = Policy(ask_again_after_ms=30_000)
    now_ms = since_ms + age_ms
    pause_ms = policy.ask_again_at_ms(since_ms, now_ms) - now_ms
    assert 30_000 <= pause_ms <= 3_600_000
    assert pause_ms in {30_000, 3_600_000, age_ms}
