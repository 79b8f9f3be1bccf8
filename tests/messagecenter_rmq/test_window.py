"""How many records are under way at once, and in which order they go."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from messagecenter_rmq.window import Window


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Entering:
    """Groups on their way in, and those that are in."""

    def __init__(self, window: Window, *sizes: int) -> None:
        self.window = window
        self.inside: list[int] = []
        self.tasks = [asyncio.create_task(self._enter(size)) for size in sizes]

    async def _enter(self, size: int) -> None:
        await self.window.enter(size)
        self.inside.append(size)


async def test_groups_go_in_while_there_is_room() -> None:
    entering = Entering(Window(10), 4, 6, 1)
    await turns()
    assert entering.inside == [4, 6]
    entering.window.leave(1)
    await turns()
    assert entering.inside == [4, 6, 1]


async def test_a_small_group_does_not_overtake_a_large_one() -> None:
    entering = Entering(Window(10), 8, 5, 1)
    await turns()
    assert entering.inside == [8]
    entering.window.leave(8)
    await turns()
    assert entering.inside == [8, 5, 1]


async def test_a_group_that_is_larger_than_the_window_goes_in_alone() -> None:
    entering = Entering(Window(10), 3, 500, 2)
    await turns()
    assert entering.inside == [3]
    entering.window.leave(3)
    await turns()
    assert entering.inside == [3, 500]
    entering.window.leave(499)
    await turns()
    assert entering.inside == [3, 500, 2]


async def test_whoever_is_cancelled_while_waiting_lets_the_next_one_in() -> None:
    entering = Entering(Window(10), 8, 5, 2)
    await turns()
    entering.tasks[1].cancel()
    await turns()
    assert entering.inside == [8, 2]


async def test_whoever_is_cancelled_when_let_in_gives_the_room_back() -> None:
    entering = Entering(Window(10), 8, 5, 6)
    await turns()
    entering.window.leave(8)
    entering.tasks[1].cancel()
    await turns()
    assert entering.inside == [8, 6]
    entering.window.leave(6)
    await asyncio.wait_for(entering.window.enter(10), 1)


async def test_whoever_is_cancelled_before_room_is_given_back_takes_none() -> None:
    entering = Entering(Window(10), 8, 5, 6)
    await turns()
    entering.tasks[1].cancel()
    entering.window.leave(8)
    await turns()
    assert entering.inside == [8, 6]
    entering.window.leave(6)
    await asyncio.wait_for(entering.window.enter(10), 1)


@given(st.lists(st.integers(1, 15), min_size=1, max_size=20), st.lists(st.integers(0, 19), max_size=40))
def test_in_any_history_the_order_is_kept_and_the_window_is_not_exceeded(sizes: list[int], steps: list[int]) -> None:
    asyncio.run(_history(sizes, steps))


async def _history(sizes: list[int], steps: list[int]) -> None:
    entering = Entering(Window(10), *sizes)
    gone: list[int] = []
    cancelled: set[int] = set()
    for step in steps:
        await turns()
        there = entering.inside[len(gone) :]
        assert sum(there) <= 10 or len(there) == 1
        if step % 2 and there:
            entering.window.leave(there[0])
            gone.append(there[0])
        elif step < len(sizes) and not entering.tasks[step].done():
            entering.tasks[step].cancel()
            cancelled.add(step)
    for _ in sizes:
        await turns()
        for size in entering.inside[len(gone) :]:
            entering.window.leave(size)
            gone.append(size)
    await turns()
    assert entering.inside == [size for position, size in enumerate(sizes) if position not in cancelled]
    await asyncio.gather(*entering.tasks, return_exceptions=True)
