"""How long a broker of RocketMQ that does not answer is left alone."""

from __future__ import annotations

import pytest

from mesh.bus.rocketmq.avoided import AVOIDED_SECONDS_FIRST, AVOIDED_SECONDS_MAX, Avoided

BROKERS = {"a": "host-a:1", "b": "host-b:1"}
OTHERS = {"a": "host-a:1"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def seconds_avoided(avoided: Avoided, clock: Clock) -> float:
    """Let `b` fail, and answer for how long it is left alone."""
    avoided.add("b")
    began = clock.now
    while avoided.left_of(BROKERS) == OTHERS:
        clock.now += 1
    assert avoided.left_of(BROKERS) == BROKERS
    return clock.now - began


def test_each_failure_counts_for_longer_until_it_answers(clock: Clock) -> None:
    avoided = Avoided(clock)
    assert [seconds_avoided(avoided, clock) for _ in range(5)] == [5, 10, 20, AVOIDED_SECONDS_MAX, AVOIDED_SECONDS_MAX]
    avoided.trust("b")
    assert seconds_avoided(avoided, clock) == AVOIDED_SECONDS_FIRST


def test_many_that_fail_at_once_are_one_failure(clock: Clock) -> None:
    avoided = Avoided(clock)
    for _ in range(10):
        avoided.add("b")
    assert seconds_avoided(avoided, clock) == AVOIDED_SECONDS_FIRST


def test_where_all_fail_all_are_asked(clock: Clock) -> None:
    avoided = Avoided(clock)
    avoided.add("a")
    avoided.add("b")
    assert avoided.left_of(BROKERS) == BROKERS
