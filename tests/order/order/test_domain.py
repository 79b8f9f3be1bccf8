"""The tables of states, and the arithmetic of orders and refunds."""

from __future__ import annotations

import itertools

import pytest

from mesh.transitions import changes
from order_rpc.order.domain import (
    ORDER_TRANSITIONS,
    SHIPPING_TRANSITIONS,
    Amounts,
    Order,
    OrderEvent,
    OrderStatus,
    PayStatus,
    ShippingEvent,
    ShippingStatus,
    Stage,
    refund_of,
    shipping_fee_fen,
)

REACHED = {source for source, _ in ORDER_TRANSITIONS} | set(ORDER_TRANSITIONS.values())


def order(**changes: object) -> Order:
    fields: dict[str, object] = {
        "order_id": 1, "brand_id": 1, "user_id": 1, "request_id": "r", "body_hash": "",
        "order_status": OrderStatus.CONFIRMED, "pay_status": PayStatus.PAID, "address": "", "consignee": "",
        "goods_amount_fen": 5000, "shipping_fee_fen": 1000, "order_amount_fen": 6000, "coupon_id": 0,
        "coupon_paid_fen": 0, "money_paid_fen": 2000, "pay_amount_fen": 4000, "add_time_ms": 1, "expire_time_ms": 2,
    }  # fmt: skip
    return Order(**fields | changes)  # type: ignore[arg-type]


def test_002_01_the_numbers_are_those_of_the_source() -> None:
    assert [status.value for status in OrderStatus] == [0, 1, 2, 3, 4]
    assert [status.name for status in PayStatus] == ["UNPAID", "PAYING", "PAID"]
    assert [status.value for status in ShippingStatus][:3] == [0, 1, 2]


def test_every_stage_but_the_first_is_reached_and_terminal_ones_are_left_by_nothing() -> None:
    reached = set(ORDER_TRANSITIONS.values())
    assert reached == REACHED - {Stage(OrderStatus.UNCONFIRMED, PayStatus.UNPAID)}
    for (source, _), target in ORDER_TRANSITIONS.items():
        if source.order_status in {OrderStatus.CANCELLED, OrderStatus.REFUNDED}:
            assert target == source


@pytest.mark.parametrize(("stage", "event"), list(itertools.product(sorted(REACHED), OrderEvent)))
def test_an_event_is_a_row_of_the_table_or_refused(stage: Stage, event: OrderEvent) -> None:
    target = ORDER_TRANSITIONS.get((stage, event))
    changing = {source for some in changes(ORDER_TRANSITIONS, event).values() for source in some}
    assert (stage in changing) == (target is not None and target != stage)


def test_002_12_cancel_and_pay_are_never_both_possible_after_one_of_them() -> None:
    for stage in REACHED:
        after_pay = ORDER_TRANSITIONS.get((stage, OrderEvent.PAY))
        after_cancel = ORDER_TRANSITIONS.get((stage, OrderEvent.CANCEL))
        if after_pay is not None and after_pay != stage:
            assert (after_pay, OrderEvent.CANCEL) not in ORDER_TRANSITIONS
        if after_cancel is not None and after_cancel != stage:
            assert ORDER_TRANSITIONS.get((after_cancel, OrderEvent.PAY), after_cancel) == after_cancel


def test_what_is_received_was_shipped() -> None:
    assert (ShippingStatus.UNSHIPPED, ShippingEvent.RECEIVE) not in SHIPPING_TRANSITIONS
    assert SHIPPING_TRANSITIONS[ShippingStatus.SHIPPED, ShippingEvent.RECEIVE] is ShippingStatus.RECEIVED


@pytest.mark.parametrize(("goods_fen", "fee_fen"), [(0, 1000), (9_999, 1000), (10_000, 1000), (10_001, 0)])
def test_002_03_shipping_is_free_above_a_hundred_yuan(goods_fen: int, fee_fen: int) -> None:
    assert shipping_fee_fen(goods_fen) == fee_fen


@pytest.mark.parametrize(
    ("coupon_fen", "coins_fen", "left_fen"), [(0, 0, 6000), (500, 1500, 4000), (6000, 0, 0), (9000, 0, 0)]
)
def test_002_03_what_is_left_to_pay_is_never_negative(coupon_fen: int, coins_fen: int, left_fen: int) -> None:
    assert Amounts(5000, 1000, coupon_fen, coins_fen).pay_amount_fen == left_fen


@pytest.mark.parametrize(
    ("refunded_fen", "amount_fen", "payment_fen", "coins_fen"),
    [(0, 1000, 1000, 0), (0, 4000, 4000, 0), (0, 6000, 4000, 2000), (3500, 1000, 500, 500), (5000, 1000, 0, 1000)],
)
def test_002_12_the_payment_goes_back_before_the_coins(
    refunded_fen: int, amount_fen: int, payment_fen: int, coins_fen: int
) -> None:
    refund = refund_of(order(refunded_fen=refunded_fen), "r", amount_fen)
    assert (refund.payment_fen, refund.coins_fen) == (payment_fen, coins_fen)
    assert order(refunded_fen=refunded_fen).refundable_fen == 6000 - refunded_fen
