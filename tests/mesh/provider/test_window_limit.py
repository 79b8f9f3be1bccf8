"""Windows measured on a clock that the loop itself moves."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.provider.rate_limit import ThrottledError
from mesh.provider.window_limit import JITTER_SECONDS, Lane, Window, WindowLimit
from tests.mesh.provider.virtual_time import keep_busy, now, run

CALLS = Window(200, 1)
RECIPIENTS = Window(12_000, 60, 500)
Granted = list[tuple[float, int]]


def limit(*windows: Window) -> WindowLimit:
    return WindowLimit(windows, clock=now)


def most_within(granted: Granted, seconds: float) -> int:
    """The most that left in any so many seconds, both ends of them included."""
    most = total = begin = 0
    for at, amount in granted:
        total += amount
        while granted[begin][0] < at - seconds:
            total -= granted[begin][1]
            begin += 1
        most = max(most, total)
    return most


async def take_all(limited: WindowLimit, amounts: list[int], granted: Granted, *, counts_calls: bool) -> None:
    async def take(amount: int) -> None:
        await limited.take(*((1, amount) if counts_calls else (amount,)))
        granted.append((now(), amount))

    await asyncio.gather(*map(take, amounts))


def test_no_second_has_more_calls_than_it_may() -> None:
    async def main() -> Granted:
        limited, granted = limit(CALLS), Granted()
        await asyncio.sleep(100)
        await take_all(limited, [1] * 2000, granted, counts_calls=False)
        return granted

    granted = run(main)
    assert len(granted) == 2000
    # Even where the way to the vendor brings them as close together as is allowed for.
    assert 170 <= most_within(granted, 1) <= most_within(granted, 1 + JITTER_SECONDS) <= 200


def test_no_minute_has_more_recipients_than_it_may() -> None:
    async def main() -> Granted:
        limited, granted = limit(CALLS, RECIPIENTS), Granted()
        await take_all(limited, [500] * 60, granted, counts_calls=True)
        return granted

    granted = run(main)
    assert 11_000 <= most_within(granted, 60) <= most_within(granted, 60 + JITTER_SECONDS) <= 12_000
    assert granted[-1][0] == pytest.approx(59 * 500 / RECIPIENTS.per_second)


def test_calls_of_few_recipients_are_bound_by_their_number() -> None:
    async def main() -> Granted:
        limited, granted = limit(Window(50, 1), RECIPIENTS), Granted()
        await take_all(limited, [2] * 500, granted, counts_calls=True)
        return granted

    assert most_within([(at, 1) for at, _ in run(main)], 1) <= 50


ARRIVALS = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(1, 10), st.one_of(st.none(), st.integers(0, 2000))),
    min_size=1,
    max_size=60,
)


@given(ARRIVALS)
def test_any_arrivals_keep_both_windows_and_their_order(arrivals: list[tuple[int, int, int | None]]) -> None:
    calls, amounts = Window(4, 1), Window(25, 2, 10)

    async def main() -> tuple[list[int], list[int], Granted]:
        limited, granted, asked, order = limit(calls, amounts), Granted(), list[int](), list[int]()

        async def taker(place: int, at_ms: int, amount: int, patience_ms: int | None) -> None:
            await asyncio.sleep(at_ms / 1000)
            asked.append(place)
            async with asyncio.timeout(None if patience_ms is None else patience_ms / 1000):
                await limited.take(1, amount)
            granted.append((now(), amount))
            order.append(place)

        tasks = [asyncio.ensure_future(taker(place, *arrival)) for place, arrival in enumerate(arrivals)]
        for (_, _, patience_ms), result in zip(
            arrivals, await asyncio.gather(*tasks, return_exceptions=True), strict=True
        ):
            assert result is None or (patience_ms is not None and isinstance(result, TimeoutError))
        return [place for place in asked if place in order], order, granted

    asked, order, granted = run(main)
    assert order == asked
    assert most_within([(at, 1) for at, _ in granted], 1) <= 4
    assert most_within(granted, 2) <= 25


def test_a_large_taker_is_not_overtaken_by_small_ones() -> None:
    async def main() -> list[int]:
        limited, granted = limit(Window(20, 1, 10)), Granted()
        await take_all(limited, [10, 10, 1, 1, 10, 1], granted, counts_calls=False)
        return [amount for _, amount in granted]

    assert run(main) == [10, 10, 1, 1, 10, 1]


def test_nobody_passes_one_whose_timer_is_late() -> None:
    async def main() -> list[str]:
        limited, order = limit(Window(20, 1, 10)), list[str]()

        async def take(name: str, amount: int) -> None:
            await limited.take(amount)
            order.append(name)

        await limited.take(10)
        first = asyncio.ensure_future(take("first", 10))
        await asyncio.sleep(0)
        keep_busy(10)
        await take("second", 1)
        await first
        return order

    assert run(main) == ["first", "second"]


def test_who_gave_up_has_taken_nothing() -> None:
    async def main() -> float:
        limited = limit(Window(20, 1, 10))
        await limited.take(10)
        waiting = [asyncio.ensure_future(limited.take(10)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert limited.wait_seconds(10) == pytest.approx(10 / Window(20, 1, 10).per_second)
        await limited.take(10)
        return now()

    assert run(main) == pytest.approx(10 / Window(20, 1, 10).per_second)


@pytest.mark.parametrize("after_seconds", [-5e-10, 5e-10], ids=["just before its turn", "with its turn in hand"])
def test_who_gives_up_as_its_turn_comes_has_taken_nothing(after_seconds: float) -> None:
    window = Window(2, 1)

    async def main() -> float:
        limited = limit(window)
        await limited.take(1)
        first, second = (asyncio.ensure_future(limited.take(1)) for _ in range(2))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(1 / window.per_second + after_seconds, first.cancel)
        await asyncio.wait([first])
        assert first.cancelled()
        await second
        return now()

    assert run(main) == pytest.approx(1 / window.per_second, abs=1e-6)


def test_a_window_has_room_for_two_calls() -> None:
    with pytest.raises(ValueError, match="a window of 999 is too small for calls of 500"):
        Window(999, 60, 500)
    assert Window(1000, 60, 500).per_second > 0


def lane(window: Window = CALLS, *, calls_max: int = 100, wait: float = 5.0, waiting_max: int = 10_000) -> Lane:
    return Lane(limit(window), calls_max=calls_max, wait_seconds_max=wait, waiting_max=waiting_max)


async def hold(turns: Lane, seconds: float, order: list[int], place: int, amount: int = 1) -> None:
    async with turns.admit(amount):
        order.append(place)
        await asyncio.sleep(seconds)


def test_calls_at_once_are_bounded_and_leave_in_order() -> None:
    async def main() -> tuple[list[int], float]:
        turns, order = lane(calls_max=2), list[int]()
        await asyncio.gather(*[hold(turns, 1, order, place) for place in range(8)])
        return order, now()

    order, ended = run(main)
    assert order == list(range(8))
    assert ended == pytest.approx(4, abs=0.1)


def test_slow_calls_do_not_let_later_ones_leave_together() -> None:
    async def main() -> Granted:
        turns, granted = lane(Window(10, 1), calls_max=10, wait=60), Granted()

        async def call(seconds: float) -> None:
            async with turns.admit(1):
                granted.append((now(), 1))
                await asyncio.sleep(seconds)

        # The slow ones end at the same moment, when all of the others wait for a slot.
        await asyncio.gather(*[call(20 - number / 8.9) for number in range(10)], *[call(0) for _ in range(50)])
        return granted

    assert most_within(run(main), 1) <= 10


def test_who_would_wait_too_long_is_told_at_once_and_when_to_come_again() -> None:
    window = Window(10, 1)

    async def main() -> tuple[int, list[float], float]:
        turns, order = lane(window, wait=2), list[int]()
        tasks = [asyncio.ensure_future(hold(turns, 0, order, place)) for place in range(30)]
        await asyncio.sleep(0)
        told_at = now()
        told = [task.exception() for task in tasks if task.done()]
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(order), [error.retry_after_seconds for error in told if isinstance(error, ThrottledError)], told_at

    served, retry_after, told_at = run(main)
    assert told_at == 0
    assert served + len(retry_after) == 30
    assert served == int(2 * window.per_second) + 1
    assert all(2 < seconds <= 2.2 for seconds in retry_after)


def test_no_wait_for_a_slot_is_longer_than_its_bound() -> None:
    async def main() -> float:
        turns, order = lane(calls_max=1, wait=2), list[int]()
        holding = asyncio.ensure_future(hold(turns, 60, order, 0))
        await asyncio.sleep(0.5)
        with pytest.raises(ThrottledError):
            await hold(turns, 0, order, 1)
        told_at = now()
        await holding
        return told_at

    assert run(main) == pytest.approx(2.5)


def test_no_more_wait_than_may() -> None:
    async def main() -> tuple[list[int], float]:
        turns, order = lane(calls_max=1, waiting_max=2), list[int]()
        holding = [asyncio.ensure_future(hold(turns, 1, order, place)) for place in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(ThrottledError):
            await hold(turns, 0, order, 3)
        told_at = now()
        await asyncio.gather(*holding)
        return order, told_at

    order, told_at = run(main)
    assert order == [0, 1, 2]
    assert told_at == pytest.approx(0.1)


def test_who_gave_up_leaves_its_slot() -> None:
    async def main() -> float:
        turns, order = lane(Window(2, 1), calls_max=1, wait=60), list[int]()
        await hold(turns, 0, order, 0)
        waits_for_turn = asyncio.ensure_future(hold(turns, 0, order, 1))
        waits_for_slot = asyncio.ensure_future(hold(turns, 0, order, 2))
        await asyncio.sleep(0.1)
        for task in (waits_for_turn, waits_for_slot):
            task.cancel()
        await asyncio.gather(waits_for_turn, waits_for_slot, return_exceptions=True)
        await hold(turns, 0, order, 3)
        return now()

    assert run(main) == pytest.approx(1 / Window(2, 1).per_second)


def test_a_call_that_fails_leaves_its_slot() -> None:
    async def main() -> list[int]:
        turns, order = lane(calls_max=1, wait=1), list[int]()
        with pytest.raises(ZeroDivisionError):
            async with turns.admit(1):
                raise ZeroDivisionError
        await hold(turns, 0, order, 1)
        return order

    assert run(main) == [1]
