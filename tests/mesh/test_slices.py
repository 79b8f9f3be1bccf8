from __future__ import annotations

import asyncio
import time

import pytest

from mesh.slices import in_slices


def keep_busy(seconds: float) -> None:
    """Do the work of a slice, which keeps the loop from others."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_parts_are_consecutive_and_complete() -> None:
    assert [list(part) async for part in in_slices(range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [list(part) async for part in in_slices(range(0), 3)] == []


async def test_others_have_the_loop_as_long_as_a_slice_took() -> None:
    """A chain of turns, as a call is one: with a turn a slice it would get one link further each time."""
    links_a_slice: list[int] = []
    links = 0

    async def chain() -> None:
        nonlocal links
        while True:
            await asyncio.sleep(0)
            links += 1

    other = asyncio.create_task(chain())
    async for _ in in_slices(range(5), 1):
        links_a_slice.append(links)
        links = 0
        keep_busy(0.006)
    other.cancel()
    assert min(links_a_slice[1:]) > 10


async def test_a_slice_that_waited_for_long_is_followed_by_a_short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    clock = iter([0.0, 60.0, 60.0, 60.001, 60.001])
    monkeypatch.setattr("mesh.slices.time.thread_time", lambda: next(clock))
    monkeypatch.setattr("mesh.slices.asyncio.sleep", note)
    async for _ in in_slices(range(3), 1):
        pass
    assert pauses == [0.01, pytest.approx(0.001)]
