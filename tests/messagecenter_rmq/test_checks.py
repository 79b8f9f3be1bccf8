"""What is not sent, and why."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brandmesh.messagecenter.v1.messagecenter_pb2 import ImDelivery, ImRecipient
from mesh.timestamps import to_timestamp
from messagecenter_rmq.checks import CHECKS, reason_to_skip
from tests.messagecenter_rmq.deliveries import NOW_MS, delivery, recipient

OF_DELIVERY: dict[str, dict[str, Any]] = {
    "CALL_CANCELLED": {"call_cancelled": True},
    "EXPIRED": {"expire_time": to_timestamp(NOW_MS - 1)},
    "SWITCHED_OFF": {"switched_off": True},
    "QUIET_HOURS": {"quiet": True},
}
OF_RECIPIENT: dict[str, dict[str, Any]] = {
    "DEVICE_GONE": {"device_gone": True},
    "DEVICE_MOVED": {"device_moved": True},
    "TECHNICIAN_CLOCKED_OFF": {"technician_clocked_off": True},
}
REASONS = [*OF_DELIVERY, *OF_RECIPIENT]
"""In the order in which they are asked."""


def made(reasons: tuple[str, ...]) -> tuple[ImDelivery, ImRecipient]:
    """Make a delivery and a recipient for whom all of these reasons hold."""
    whole: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for reason in reasons:
        whole |= OF_DELIVERY.get(reason, {})
        own |= OF_RECIPIENT.get(reason, {})
    return delivery(**whole), recipient(**own)


def test_what_nothing_speaks_against_is_sent() -> None:
    assert reason_to_skip(delivery(), recipient(), NOW_MS) is None


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_alone_is_given(reason: str) -> None:
    assert reason_to_skip(*made((reason,)), NOW_MS) == reason


@pytest.mark.parametrize("reasons", list(combinations(REASONS, 2)), ids="-".join)
def test_the_first_of_two_reasons_is_given(reasons: tuple[str, str]) -> None:
    assert reason_to_skip(*made(reasons), NOW_MS) == reasons[0]


@given(st.sets(st.sampled_from(REASONS)))
def test_of_any_reasons_the_first_is_given(reasons: set[str]) -> None:
    in_order = tuple(reason for reason in REASONS if reason in reasons)
    assert reason_to_skip(*made(in_order), NOW_MS) == next(iter(in_order), None)


def test_every_check_is_tested() -> None:
    assert len(CHECKS) == len(REASONS)


def test_a_record_may_be_sent_up_to_its_last_millisecond() -> None:
    last = delivery(expire_time=to_timestamp(NOW_MS))
    assert reason_to_skip(last, recipient(), NOW_MS) is None
    assert reason_to_skip(last, recipient(), NOW_MS + 1) == "EXPIRED"


def test_what_may_have_arrived_is_checked_like_anything_else() -> None:
    assert reason_to_skip(delivery(), recipient(may_be_sent=True, attempt=3), NOW_MS) is None
    assert reason_to_skip(delivery(call_cancelled=True), recipient(may_be_sent=True), NOW_MS) == "CALL_CANCELLED"
