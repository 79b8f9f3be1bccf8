from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.provider.rate_limit import Priority, Throttle, ThrottledError, TokenBucket
from tests.mesh.provider.virtual_time import now, run


def bucket(per_second: float, reserved_share: float = 0.2) -> TokenBucket:
    return TokenBucket(per_second, reserved_share, clock=now)


async def take_at(tokens: TokenBucket, priority: Priority, at_seconds: float = 0.0) -> float:
    await asyncio.sleep(at_seconds - now())
    await tokens.take(priority)
    return now()


def test_bulk_alone_has_the_whole_rate() -> None:
    async def main() -> list[float]:
        tokens = bucket(10)
        return await asyncio.gather(*[take_at(tokens, Priority.BULK) for _ in range(101)])

    times = run(main)
    # The bucket of 2 keeps 1 for urgent calls, so the first has its token at once and the others follow at the rate.
    assert times[0] == 0
    assert times[-1] == pytest.approx(10.0, abs=0.02)


def test_urgent_calls_find_a_token_in_a_flood_of_bulk() -> None:
    async def main() -> list[float]:
        tokens = bucket(10)
        async with asyncio.TaskGroup() as group:
            flood = [group.create_task(take_at(tokens, Priority.BULK)) for _ in range(300)]
            waits = [await take_at(tokens, Priority.URGENT, at) - at for at in (0.05, 1.0, 2.33, 7.5, 9.99)]
            await asyncio.gather(*flood)
        return waits

    assert run(main) == pytest.approx([0.0] * 5)


def test_urgent_calls_beyond_the_reserve_go_before_waiting_bulk() -> None:
    async def main() -> list[str]:
        tokens, order = bucket(10), list[str]()

        async def note(priority: Priority) -> None:
            await tokens.take(priority)
            order.append(priority.value)

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(note(Priority.BULK))
            await asyncio.sleep(0)
            for _ in range(4):
                group.create_task(note(Priority.URGENT))
        return order

    assert run(main) == ["bulk", *["urgent"] * 4, "bulk", "bulk"]


def test_a_cancelled_taker_takes_no_token() -> None:
    async def main() -> float:
        tokens = bucket(10)
        await take_at(tokens, Priority.BULK)
        waiting = [asyncio.ensure_future(take_at(tokens, Priority.BULK)) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting[:4]:
            task.cancel()
        return await waiting[4]

    assert run(main) == pytest.approx(0.1)


@pytest.mark.parametrize("after_seconds", [-5e-10, 5e-10], ids=["just before its token", "with its token in hand"])
def test_a_taker_cancelled_as_its_token_comes_takes_none(after_seconds: float) -> None:
    async def main() -> float:
        tokens = bucket(1)
        await take_at(tokens, Priority.BULK)
        first, second = (asyncio.ensure_future(take_at(tokens, Priority.BULK)) for _ in range(2))
        await asyncio.sleep(0)
        # Within the clock's resolution: in the same turn of the loop as the bucket's timer, right before or after it.
        asyncio.get_running_loop().call_later(1 + after_seconds, first.cancel)
        await asyncio.wait([first])
        assert first.cancelled()
        return await second

    assert run(main) == pytest.approx(1, abs=1e-6)


ARRIVALS = st.lists(st.tuples(st.sampled_from(Priority), st.integers(0, 400), st.booleans()), min_size=1, max_size=60)


@given(st.sampled_from([0.5, 3.0, 10.0, 200.0]), ARRIVALS)
def test_never_more_than_the_rate_and_everybody_is_served(
    per_second: float, arrivals: list[tuple[Priority, int, bool]]
) -> None:
    async def main() -> list[float]:
        tokens, granted = bucket(per_second), list[float]()

        async def taker(priority: Priority, at_ms: int, impatient: bool) -> None:
            await asyncio.sleep(at_ms / 1000)
            async with asyncio.timeout(0.05 if impatient else None):
                await tokens.take(priority)
            granted.append(now())

        tasks = [asyncio.ensure_future(taker(*arrival)) for arrival in arrivals]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for (*_, impatient), result in zip(arrivals, results, strict=True):
            assert result is None or (impatient and isinstance(result, TimeoutError))
        return granted

    granted = sorted(run(main))
    burst = max(2.0, per_second * 0.1)
    for first, begin in enumerate(granted):
        for count, end in enumerate(granted[first:], start=1):
            assert count <= burst + (end - begin) * per_second + 1e-6


def throttle(per_second: float = 1000, calls_max: int = 4, wait: float = 2.0, waiting_max: int = 100) -> Throttle:
    return Throttle(bucket(per_second), calls_max, 0.25, wait, waiting_max)


async def hold(turns: Throttle, priority: Priority, seconds: float) -> float:
    begun = now()
    async with turns.admit(priority):
        waited = now() - begun
        await asyncio.sleep(seconds)
        return waited


def test_slow_bulk_calls_leave_a_connection_to_urgent_ones() -> None:
    async def main() -> tuple[float, int]:
        turns = throttle(calls_max=4)
        bulk = [asyncio.ensure_future(hold(turns, Priority.BULK, 60)) for _ in range(20)]
        await asyncio.sleep(1)
        waited = await hold(turns, Priority.URGENT, 0)
        results = await asyncio.gather(*bulk, return_exceptions=True)
        return waited, sum(isinstance(result, ThrottledError) for result in results)

    assert run(main) == (0.0, 17)


def test_urgent_calls_may_use_every_connection() -> None:
    async def main() -> list[float]:
        turns = throttle(calls_max=4)
        return await asyncio.gather(*[hold(turns, Priority.URGENT, 1) for _ in range(8)])

    assert run(main) == pytest.approx([0] * 4 + [1] * 4, abs=0.01)


def test_who_would_wait_too_long_is_told_at_once() -> None:
    async def main() -> tuple[float, float]:
        turns = throttle(per_second=1, calls_max=100, wait=2.5)
        waiting = [asyncio.ensure_future(hold(turns, Priority.URGENT, 0)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(ThrottledError) as caught:
            await hold(turns, Priority.URGENT, 0)
        told_at = now()
        await asyncio.gather(*waiting)
        return told_at, caught.value.retry_after_seconds

    assert run(main) == pytest.approx((0.0, 3.0))


def test_no_wait_is_longer_than_its_bound() -> None:
    async def main() -> float:
        turns = throttle(calls_max=2, wait=2.0)
        holding = [asyncio.ensure_future(hold(turns, Priority.URGENT, 60)) for _ in range(2)]
        await asyncio.sleep(0.5)
        with pytest.raises(ThrottledError):
            await hold(turns, Priority.URGENT, 0)
        told_at = now()
        await asyncio.gather(*holding)
        return told_at

    assert run(main) == pytest.approx(2.5)


def test_no_more_wait_than_may() -> None:
    async def main() -> float:
        turns = throttle(calls_max=2, waiting_max=1)
        holding = [asyncio.ensure_future(hold(turns, Priority.URGENT, 1)) for _ in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(ThrottledError):
            await hold(turns, Priority.URGENT, 0)
        told_at = now()
        await asyncio.gather(*holding)
        return told_at

    assert run(main) == pytest.approx(0.1)


def test_who_gave_up_leaves_its_place() -> None:
    async def main() -> list[float]:
        turns = throttle(calls_max=2)
        holding = [asyncio.ensure_future(hold(turns, Priority.URGENT, 1)) for _ in range(2)]
        gone = [asyncio.ensure_future(hold(turns, priority, 0)) for priority in (*Priority, *Priority)]
        await asyncio.sleep(0.5)
        for task in gone:
            task.cancel()
        await asyncio.gather(*holding, *gone, return_exceptions=True)
        return await asyncio.gather(*[hold(turns, Priority.URGENT, 1) for _ in range(2)])

    assert run(main) == [0.0, 0.0]
