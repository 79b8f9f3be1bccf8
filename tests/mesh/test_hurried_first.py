from __future__ import annotations

import asyncio

import pytest

from mesh.hurried_first import PASSED_MAX, HurriedFirst


class Line:
    """Holders of one lock, each of which notes its name and gives the loop a turn while it holds it."""

    def __init__(self) -> None:
        self.lock = HurriedFirst(wait_seconds_max=5)
        self.served: list[str] = []
        self.holding = 0
        self.gate = asyncio.Event()
        self.first = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        async with self.lock.turn():
            await self.gate.wait()

    async def take(self, name: str) -> None:
        async with self.lock.turn(bulk=name.startswith("bulk")):
            self.holding += 1
            assert self.holding == 1
            self.served.append(name)
            await asyncio.sleep(0)
            self.holding -= 1

    async def queue(self, *names: str) -> list[asyncio.Task[None]]:
        """Have so many wait behind the first holder, in this order."""
        tasks = []
        for name in names:
            tasks.append(asyncio.create_task(self.take(name)))
            await asyncio.sleep(0)
        return tasks

    async def finish(self, *tasks: asyncio.Task[None]) -> None:
        self.gate.set()
        await asyncio.gather(self.first, *tasks)


async def test_what_is_hurried_goes_before_bulk_that_came_earlier() -> None:
    line = Line()
    await line.finish(*await line.queue("bulk 1", "bulk 2", "code 1", "code 2"))
    assert line.served == ["code 1", "code 2", "bulk 1", "bulk 2"]


async def test_bulk_is_passed_so_often_and_no_oftener() -> None:
    line = Line()
    codes = [f"code {number}" for number in range(PASSED_MAX + 2)]
    await line.finish(*await line.queue("bulk", *codes))
    assert line.served == [*codes[:PASSED_MAX], "bulk", *codes[PASSED_MAX:]]


@pytest.mark.parametrize("name", ["bulk", "code"])
async def test_who_gives_up_waiting_is_left_out(name: str) -> None:
    line = Line()
    leaving, staying = await line.queue(f"{name} 1", f"{name} 2")
    leaving.cancel()
    await line.finish(staying)
    await line.take("code 3")
    assert leaving.cancelled()
    assert line.served == [f"{name} 2", "code 3"]


async def test_a_turn_that_comes_to_one_who_leaves_goes_on_to_the_next() -> None:
    line = Line()
    leaving, staying = await line.queue("code 1", "code 2")
    line.gate.set()
    await asyncio.sleep(0)
    assert line.first.done(), "the turn has come, and its waiter has not noticed yet"
    leaving.cancel()
    await line.finish(staying)
    assert line.served == ["code 2"]


async def test_waiting_is_bounded_and_leaves_the_lock_whole() -> None:
    lock = HurriedFirst(wait_seconds_max=0.01)
    async with lock.turn():
        with pytest.raises(TimeoutError):
            async with lock.turn(bulk=True):
                pytest.fail("two held it")
    async with lock.turn(bulk=True):
        pass
