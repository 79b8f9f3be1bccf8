import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.transitions import changes
from order_rpc.sms_package.domain import (
    DAY_MS,
    ORDER_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    Order,
    OrderEvent,
    OrderStatus,
    Package,
    PaymentEvent,
    PaymentStatus,
)

REFUSED = None

ORDER_CASES = [
    (OrderStatus.CREATED, OrderEvent.PAY, OrderStatus.PAID),
    (OrderStatus.CREATED, OrderEvent.CANCEL, OrderStatus.CANCELLED),
    (OrderStatus.CREATED, OrderEvent.GRANT, REFUSED),
    (OrderStatus.PAID, OrderEvent.PAY, OrderStatus.PAID),
    (OrderStatus.PAID, OrderEvent.CANCEL, REFUSED),
    (OrderStatus.PAID, OrderEvent.GRANT, OrderStatus.FULFILLED),
    (OrderStatus.FULFILLED, OrderEvent.PAY, OrderStatus.FULFILLED),
    (OrderStatus.FULFILLED, OrderEvent.CANCEL, REFUSED),
    (OrderStatus.FULFILLED, OrderEvent.GRANT, OrderStatus.FULFILLED),
    (OrderStatus.CANCELLED, OrderEvent.PAY, OrderStatus.CANCELLED),
    (OrderStatus.CANCELLED, OrderEvent.CANCEL, OrderStatus.CANCELLED),
    (OrderStatus.CANCELLED, OrderEvent.GRANT, REFUSED),
]

PAYMENT_CASES = [
    (PaymentStatus.NONE, PaymentEvent.OPEN, PaymentStatus.PENDING),
    (PaymentStatus.NONE, PaymentEvent.PAY, PaymentStatus.PAID),
    (PaymentStatus.NONE, PaymentEvent.CLOSE, PaymentStatus.CLOSED),
    (PaymentStatus.NONE, PaymentEvent.PAY_BACK, REFUSED),
    (PaymentStatus.PENDING, PaymentEvent.OPEN, PaymentStatus.PENDING),
    (PaymentStatus.PENDING, PaymentEvent.PAY, PaymentStatus.PAID),
    (PaymentStatus.PENDING, PaymentEvent.CLOSE, PaymentStatus.CLOSED),
    (PaymentStatus.PENDING, PaymentEvent.PAY_BACK, REFUSED),
    (PaymentStatus.PAID, PaymentEvent.OPEN, PaymentStatus.PAID),
    (PaymentStatus.PAID, PaymentEvent.PAY, PaymentStatus.PAID),
    (PaymentStatus.PAID, PaymentEvent.CLOSE, REFUSED),
    (PaymentStatus.PAID, PaymentEvent.PAY_BACK, REFUSED),
    (PaymentStatus.CLOSED, PaymentEvent.OPEN, PaymentStatus.CLOSED),
    (PaymentStatus.CLOSED, PaymentEvent.PAY, PaymentStatus.REFUND_DUE),
    (PaymentStatus.CLOSED, PaymentEvent.CLOSE, PaymentStatus.CLOSED),
    (PaymentStatus.CLOSED, PaymentEvent.PAY_BACK, REFUSED),
    (PaymentStatus.REFUND_DUE, PaymentEvent.OPEN, PaymentStatus.REFUND_DUE),
    (PaymentStatus.REFUND_DUE, PaymentEvent.PAY, PaymentStatus.REFUND_DUE),
    (PaymentStatus.REFUND_DUE, PaymentEvent.CLOSE, PaymentStatus.REFUND_DUE),
    (PaymentStatus.REFUND_DUE, PaymentEvent.PAY_BACK, PaymentStatus.REFUNDED),
    (PaymentStatus.REFUNDED, PaymentEvent.OPEN, PaymentStatus.REFUNDED),
    (PaymentStatus.REFUNDED, PaymentEvent.PAY, PaymentStatus.REFUNDED),
    (PaymentStatus.REFUNDED, PaymentEvent.CLOSE, PaymentStatus.REFUNDED),
    (PaymentStatus.REFUNDED, PaymentEvent.PAY_BACK, PaymentStatus.REFUNDED),
]


@pytest.mark.parametrize(("status", "event", "after"), ORDER_CASES)
def test_each_transition_of_an_order(status: OrderStatus, event: OrderEvent, after: OrderStatus | None) -> None:
    assert ORDER_TRANSITIONS.get((status, event)) == after


@pytest.mark.parametrize(("status", "event", "after"), PAYMENT_CASES)
def test_each_transition_of_a_payment(status: PaymentStatus, event: PaymentEvent, after: PaymentStatus | None) -> None:
    assert PAYMENT_TRANSITIONS.get((status, event)) == after


def test_the_cases_leave_nothing_out() -> None:
    assert {case[:2] for case in ORDER_CASES} == set(itertools.product(OrderStatus, OrderEvent))
    assert {case[:2] for case in PAYMENT_CASES} == set(itertools.product(PaymentStatus, PaymentEvent))


def test_changes_name_what_an_event_moves() -> None:
    assert changes(PAYMENT_TRANSITIONS, PaymentEvent.PAY) == {
        PaymentStatus.PAID: [PaymentStatus.PENDING, PaymentStatus.NONE],
        PaymentStatus.REFUND_DUE: [PaymentStatus.CLOSED],
    }


def test_no_event_moves_a_row_twice() -> None:
    """The statements of one event run one after the other: none may take up what another left."""
    for order_event in OrderEvent:
        orders = changes(ORDER_TRANSITIONS, order_event)
        assert not set(orders) & set(itertools.chain(*orders.values()))
    for payment_event in PaymentEvent:
        payments = changes(PAYMENT_TRANSITIONS, payment_event)
        assert not set(payments) & set(itertools.chain(*payments.values()))


@given(st.lists(st.sampled_from(["open", "pay", "cancel", "grant", "pay back"]), max_size=8))
def test_money_is_either_used_or_goes_back(events: list[str]) -> None:
    """An order with its payment, moved as the service moves them."""
    order, payment = OrderStatus.CREATED, PaymentStatus.NONE
    back = {PaymentStatus.REFUND_DUE, PaymentStatus.REFUNDED}
    for event in events:
        if event == "pay":
            order = ORDER_TRANSITIONS.get((order, OrderEvent.PAY), order)
            payment = PAYMENT_TRANSITIONS.get((payment, PaymentEvent.PAY), payment)
        elif event == "grant":
            order = ORDER_TRANSITIONS.get((order, OrderEvent.GRANT), order)
        elif event == "open":
            payment = PAYMENT_TRANSITIONS[payment, PaymentEvent.OPEN]
        elif event == "pay back":
            payment = PAYMENT_TRANSITIONS.get((payment, PaymentEvent.PAY_BACK), payment)
        elif order in changes(ORDER_TRANSITIONS, OrderEvent.CANCEL)[OrderStatus.CANCELLED]:
            order = ORDER_TRANSITIONS[order, OrderEvent.CANCEL]
            payment = PAYMENT_TRANSITIONS[payment, PaymentEvent.CLOSE]
        is_bought = order in {OrderStatus.PAID, OrderStatus.FULFILLED}
        assert is_bought == (payment is PaymentStatus.PAID)
        assert (order is OrderStatus.CANCELLED) == (payment in {PaymentStatus.CLOSED, *back})
    assert ("pay" in events) == (payment in {PaymentStatus.PAID, *back})


class TestOrder:
    order = Order(1, 7, "r", OrderStatus.CREATED, Package("p", "t", 1000, 4_500, 30), 3, 100, 200)

    def test_what_it_costs_and_brings(self) -> None:
        assert (self.order.amount_fen, self.order.credits) == (13_500, 3_000)

    def test_it_is_payable_until_its_time_is_over(self) -> None:
        assert self.order.is_payable(199)
        assert not self.order.is_payable(200)

    @pytest.mark.parametrize("status", [OrderStatus.PAID, OrderStatus.FULFILLED, OrderStatus.CANCELLED])
    def test_it_is_payable_only_as_created(self, status: OrderStatus) -> None:
        order = Order(1, 7, "r", status, self.order.package, 3, 100, 200)
        assert not order.is_payable(150)

    def test_its_credits_last_as_long_as_the_package_says(self) -> None:
        order = Order(1, 7, "r", OrderStatus.PAID, self.order.package, 3, 100, 200, paid_at_ms=150)
        assert order.credits_expire_at_ms == 150 + 30 * DAY_MS
