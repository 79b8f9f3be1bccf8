"""Which queues a process takes, whatever they are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagecenter_rmq.queues import QUEUE_PREFIX, QueueSelection
from messagecenter_rpc.domain import queue_name

NOBODY: frozenset[int] = frozenset()


def selection(brands: set[int] | frozenset[int] = NOBODY, but: set[int] | frozenset[int] = NOBODY) -> QueueSelection:
    return QueueSelection(brands, but)


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        (selection(), {7, 8, 9}),
        (selection({7}), {7}),
        (selection({7, 9}), {7, 9}),
        (selection(but={7}), {8, 9}),
        (selection(but={7, 8, 9}), set()),
        (selection({7, 8}, but={8, 9}), {7}),
        (selection({7}, but={7}), set()),
    ],
)
def test_brands_are_split_between_processes(chosen: QueueSelection, taken: set[int]) -> None:
    assert {one for one in (7, 8, 9) if chosen.takes(queue_name(one))} == taken


def test_two_processes_that_share_the_brands_take_each_queue_once() -> None:
    ours, theirs = selection({7}), selection(but={7})
    for brand_id in [*range(1, 20), 2**53 - 1]:
        assert ours.takes(queue_name(brand_id)) + theirs.takes(queue_name(brand_id)) == 1


@pytest.mark.parametrize(
    "queue",
    [
        "",
        "im.call",
        "im.call.",
        "im.call.0",
        "im.call.007",
        "im.call.-7",
        "im.call. 7",
        "im.call.7 ",
        "im.call.7\n",
        "im.call.7.dead",
        "im.call.7.5",
        "im.call.0x7",
        "im.call.7_0",
        "im.call.\u00b2",
        "im.call.\uff17",
        "im.call." + "7" * 17,
        "im.call." + "7" * 5000,
        "xim.call.7",
        "im.call.im.call.7",
        "sms.send.7.marketing.single",
    ],
    ids=lambda queue: repr(queue[:40]),
)
def test_a_queue_of_another_name_is_nobodys(queue: str) -> None:
    assert not selection().takes(queue)
    assert not selection({7}).takes(queue)


@given(st.text(max_size=40))
def test_no_name_is_too_strange_to_be_looked_at(rest: str) -> None:
    assert selection({7}).takes(QUEUE_PREFIX + rest) == (rest == "7")
