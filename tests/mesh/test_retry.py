from __future__ import annotations

import asyncio
import time

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from mesh.outage import Outage
from mesh.retry import RetryPolicy, full_jitter_seconds


@given(attempt=st.integers(1, 10**9), first=st.floats(0.01, 60), most=st.floats(60, 86_400))
def test_a_delay_is_whole_seconds_within_the_ceiling(attempt: int, first: float, most: float) -> None:
    policy = RetryPolicy(first_delay_seconds=first, factor=3.0, delay_seconds_max=most)
    delay = policy.delay_seconds(attempt)
    assert 1 <= delay <= most + 1


def test_delays_are_spread_over_the_whole_range() -> None:
    delays = [full_jitter_seconds(5, 1.0, 2.0, 300.0) for _ in range(2000)]
    assert min(delays) < 2
    assert 14 < max(delays) <= 16
    assert 7 < sum(delays) / len(delays) < 9


def test_attempts_end_only_where_the_policy_says_so() -> None:
    assert not RetryPolicy().is_exhausted(10**6)
    assert not RetryPolicy(attempts_max=3).is_exhausted(2)
    assert RetryPolicy(attempts_max=3).is_exhausted(3)


@pytest.mark.parametrize(
    "options",
    [
        {"attempts_max": 0},
        {"factor": 0.5},
        {"first_delay_seconds": 0},
        {"first_delay_seconds": 9, "delay_seconds_max": 8},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"attempts_max|factor"):
        RetryPolicy(**options)  # type: ignore[arg-type]  # wrong on purpose


async def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    outage, stop = Outage("bus"), asyncio.Event()
    stop.set()
    with structlog.testing.capture_logs() as logs:
        for _ in range(20):
            await outage.pause(ConnectionError("refused"), stop)
        outage.end()
        outage.end()
    assert [entry["event"] for entry in logs] == ["away", "back"]
    assert logs[1]["failures"] == 20


async def test_a_stop_ends_the_pause() -> None:
    outage, stop = Outage("bus"), asyncio.Event()
    started = time.monotonic()
    for _ in range(6):
        asyncio.get_running_loop().call_later(0.01, stop.set)
        await outage.pause(ConnectionError("refused"), stop)
    assert time.monotonic() - started < 2
