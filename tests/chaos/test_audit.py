"""The audit against worlds that were doctored: each rule must be able to fail, and a sound world passes them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaos.audit import BREACHES_MAX, RULES, audit
from chaos.payment_audit import PAYMENT_RULES
from chaos.shop_audit import SHOP_RULES
from chaos.told import Called, CancelledSms, CancelledTask, Ordered, Sent, Told
from chaos.world import Account, Brand, Entry, Heard, ImRecord, Message, Order, Submission, World
from tests.chaos.sound_shop import order_services, shop_told

BRAND = 1001


def told() -> Told:
    return Told(
        sends=[Sent(BRAND, "a", "t1", ("m1", "m2"), 2, 3), Sent(BRAND, "b", "t2", ("m3",), 1, 1)],
        cancelled_sms=[CancelledSms(BRAND, "m3")],
        cancelled_tasks=[CancelledTask(BRAND, "t2", 1)],
        calls=[Called(BRAND, "c1", "room-1")],
        orders=[Ordered(BRAND, "o1", 1000, is_paid=True), Ordered(BRAND, "o2", 500, is_paid=False)],
        shop=shop_told(),
    )


def sound_world() -> World:
    """A delivered message of two segments, one that failed after its charge, a cancelled one, a call, two packages."""
    brand = Brand(
        BRAND,
        before=Account(available=100, frozen=0, spent=0, granted=100),
        account=Account(available=1098, frozen=0, spent=2, granted=1100),
        entries=(
            Entry("freeze", "sms/a", frozen=3),
            Entry("freeze", "sms/b", frozen=1),
            Entry("pay", "dispatch/1", frozen=-3, spent=3),
            Entry("refund", "receipt/m2", spent=-1),
            Entry("release", "cancel/m3", frozen=-1),
            Entry("grant", "order/o1", granted=1000),
        ),
        messages=(
            Message("m1", "t1", "13800000001", 2, "delivered", "p1"),
            Message("m2", "t1", "13800000002", 1, "failed", "p1", "UNDELIV"),
            Message("m3", "t2", "13800000003", 1, "cancelled", ""),
        ),
        im_records=(ImRecord("c1", "kitchen", "sent"), ImRecord("c1", "kitchen", "cancelled")),
        orders=(Order("o1", "fulfilled", "lot1", 5000), Order("o2", "cancelled", "", 5000)),
    )
    return World(
        told(),
        [brand],
        submissions=(
            Submission("13800000001", "1", 2, "DELIVRD"),
            Submission("13800000002", "1", 1, "UNDELIV"),
        ),
        heard=(Heard("kitchen", "[room-1]"),),
        waiting={"sms.send.1001.marketing.batch": 0},
        dead={"order.paid.dead": 0},
        order_services=order_services(),
    )


def brand_with(world: World, **changes: Any) -> World:
    return replace(world, brands=[replace(world.brands[0], **changes)])


def message_with(world: World, which: str, **changes: Any) -> World:
    messages = [replace(one, **changes) if one.message_id == which else one for one in world.brands[0].messages]
    return brand_with(world, messages=messages)


def account_with(world: World, **changes: int) -> World:
    return brand_with(world, account=replace(world.brands[0].account, **changes))


def without_message(world: World, message_id: str) -> World:
    return brand_with(world, messages=[one for one in world.brands[0].messages if one.message_id != message_id])


def with_entry(world: World, *entries: Entry) -> World:
    return brand_with(world, entries=(*world.brands[0].entries, *entries))


def without_entry(world: World, request_id: str) -> World:
    return brand_with(world, entries=[one for one in world.brands[0].entries if one.request_id != request_id])


def submissions(world: World, *more: Submission) -> World:
    return replace(world, submissions=(*world.submissions, *more))


def without_submission(world: World, phone: str) -> World:
    return replace(world, submissions=[one for one in world.submissions if one.phone != phone])


def receipt(world: World, phone: str, status: str) -> World:
    changed = [replace(one, receipt=status) if one.phone == phone else one for one in world.submissions]
    return replace(world, submissions=changed)


def im_status(world: World, *statuses: str) -> World:
    return brand_with(world, im_records=[ImRecord("c1", "kitchen", status) for status in statuses])


def order_status(world: World, *statuses: str, lots: tuple[str, str] = ("lot1", "")) -> World:
    orders = [Order(f"o{number + 1}", status, lots[number]) for number, status in enumerate(statuses)]
    return brand_with(world, orders=orders)


def answered(world: World, **changes: Any) -> World:
    return replace(world, told=replace(world.told, **changes))


DOCTORED: dict[str, list[Callable[[World], World]]] = {
    "the ledger is sound": [lambda w: replace(w, ledger=["I1: account 1001"])],
    "an acknowledged send is kept": [
        lambda w: without_message(w, "m1"),
        lambda w: brand_with(w, messages=()),
        lambda w: message_with(w, "m1", message_id="m9"),
        lambda w: message_with(w, "m2", message_id="m1"),
    ],
    "a request makes its messages once": [lambda w: message_with(w, "m2", phone="13800000001")],
    "a message is sent once": [lambda w: submissions(w, w.submissions[0])],
    "a record tells the truth": [
        lambda w: message_with(w, "m1", status="queued"),
        lambda w: message_with(w, "m1", status="charged"),
        lambda w: message_with(w, "m1", status="submitted"),
        lambda w: message_with(w, "m1", status="unknown"),
        lambda w: message_with(w, "m1", status="failed"),
        lambda w: message_with(w, "m2", status="delivered"),
        lambda w: without_submission(w, "13800000001"),
        lambda w: receipt(w, "13800000001", ""),
        lambda w: submissions(w, Submission("13800000003", "3", 1, "DELIVRD")),
    ],
    "what was sent was charged": [
        lambda w: message_with(w, "m1", payment_id=""),
        lambda w: message_with(w, "m1", segments=1),
        lambda w: submissions(w, Submission("13800000009", "9", 1, "DELIVRD")),
    ],
    "a message is charged once, and refunded when it failed": [
        lambda w: account_with(w, spent=3),
        lambda w: account_with(w, spent=1),
        lambda w: with_entry(w, Entry("pay", "dispatch/1", spent=2), Entry("refund", "receipt/m1", spent=-2)),
        lambda w: without_entry(w, "dispatch/1"),
        lambda w: without_entry(w, "receipt/m2"),
    ],
    "a send is frozen once": [
        lambda w: with_entry(w, Entry("freeze", "sms/a", frozen=3)),
        lambda w: without_entry(w, "sms/b"),
    ],
    "no reservation is left": [lambda w: account_with(w, frozen=1)],
    "a cancel holds": [
        lambda w: message_with(w, "m3", status="delivered"),
        lambda w: answered(w, cancelled_tasks=[CancelledTask(BRAND, "t2", 2)]),
    ],
    "an acknowledged call is kept": [lambda w: brand_with(w, im_records=())],
    "a call is heard once": [
        lambda w: replace(w, heard=()),
        lambda w: replace(w, heard=[*w.heard] * 2),
        lambda w: replace(w, heard=(*w.heard, Heard("desk", "[room-1]"))),
        lambda w: im_status(w, "cancelled", "skipped"),
        lambda w: im_status(w, "sent", "queued"),
        lambda w: im_status(w, "sent", "sent"),
    ],
    "nothing is given up as too old": [
        lambda w: message_with(w, "m2", failure_reason="EXPIRED"),
        lambda w: brand_with(w, im_records=[ImRecord("c1", "kitchen", "failed", "IM_EXPIRED")]),
        lambda w: brand_with(w, im_records=[ImRecord("c1", "kitchen", "skipped", "EXPIRED")]),
    ],
    "a purchase is granted once": [
        lambda w: order_status(w, "paid", "cancelled"),
        lambda w: order_status(w, "fulfilled", "fulfilled"),
        lambda w: order_status(w, "fulfilled"),
        lambda w: order_status(w, "fulfilled", "cancelled", lots=("lot1", "lot1")),
        lambda w: account_with(w, granted=2100),
        lambda w: account_with(w, granted=100),
    ],
    "queues are empty": [lambda w: replace(w, waiting={"costcenter.receipt": 1})],
    "nothing is a dead letter": [lambda w: replace(w, dead={"order.paid.dead": 1})],
    "no process died by itself": [lambda w: replace(w, died={"sms_rmq": 1})],
    "no error is logged": [lambda w: replace(w, errors=["sms_rmq: handler failed (1 times)"])],
    "apps get definite answers": [
        lambda w: answered(w, refusals=["POST /sms: 500"]),
        lambda w: answered(w, unanswered=["POST /sms"]),
    ],
}


def test_a_sound_world_breaks_no_rule() -> None:
    assert audit(sound_world()) == []


def test_each_rule_is_tested() -> None:
    assert set(DOCTORED) == RULES.keys() - SHOP_RULES.keys() - PAYMENT_RULES.keys()


@pytest.mark.parametrize(("rule", "doctor"), [(rule, one) for rule, some in DOCTORED.items() for one in some])
def test_a_doctored_world_breaks_the_rule(rule: str, doctor: Callable[[World], World]) -> None:
    assert rule in {breach.rule for breach in audit(doctor(sound_world()))}


@pytest.mark.parametrize("status", ["fulfilled", "cancelled"])
def test_a_package_that_was_paid_late_may_be_granted_or_not(status: str) -> None:
    world = order_status(sound_world(), status, "cancelled")
    late = replace(world.told.orders[0], is_late=True)
    rule = "a purchase is granted once"
    granted = {"fulfilled": 1100, "cancelled": 100}[status]
    world = account_with(answered(world, orders=[late, world.told.orders[1]]), granted=granted)
    assert rule not in {breach.rule for breach in audit(world)}


@pytest.mark.parametrize("heard", [1, 2])
def test_an_unknown_im_record_may_have_been_heard_or_not(heard: int) -> None:
    world = im_status(sound_world(), "sent", "unknown")
    assert audit(replace(world, heard=[*world.heard] * heard)) == []


def test_what_the_provider_never_got_may_stay_unknown() -> None:
    world = message_with(without_submission(sound_world(), "13800000001"), "m1", status="unknown")
    assert audit(world) == []


@pytest.mark.parametrize("status", ["unknown", "submitted"])
def test_a_message_whose_receipt_a_fault_dropped_may_wait_for_it(status: str) -> None:
    assert audit(receipt(message_with(sound_world(), "m1", status=status), "13800000001", "")) == []


def test_a_message_may_wait_whose_receipt_a_fault_took_from_the_mesh_and_no_other() -> None:
    waiting = message_with(sound_world(), "m1", status="submitted")
    assert audit(replace(waiting, lost_receipts={"13800000001"})) == []
    assert audit(replace(waiting, lost_receipts={"13800000002"})) != []


def test_a_flood_of_breaches_is_cut() -> None:
    world = replace(sound_world(), errors=[f"line {number}" for number in range(BREACHES_MAX + 5)])
    assert len(audit(world)) == BREACHES_MAX + 1
    assert str(audit(world)[-1]).endswith("and 5 more")
