from __future__ import annotations

import asyncio
import random
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc
import pytest
import pytest_asyncio
import structlog

from mesh.coalesce import Coalescer
from mesh.errors import DomainError
from mesh.testing import eventually

BATCH_MAX = 8
PENDING_MAX = 100

Item = TypeVar("Item")
Result = TypeVar("Result")


@asynccontextmanager
async def closing(coalescer: Coalescer[Item, Result]) -> AsyncIterator[Coalescer[Item, Result]]:
    try:
        yield coalescer
    finally:
        await coalescer.close()


class Poisoned(Exception):  # noqa: N818  # what it is, not what went wrong
    pass


class Worker:
    """Does batches of numbers, each when it is told to; notes them."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.raises: BaseException | None = None
        self.running = 0
        self.running_most = 0

    async def apply(self, items: Sequence[int]) -> list[int | BaseException]:
        self.batches.append(list(items))
        self.running += 1
        self.running_most = max(self.running, self.running_most)
        try:
            await self.gate.wait()
            if self.raises is not None:
                raise self.raises
            if any(item < 0 for item in items):
                raise Poisoned(min(items))
            return [item * 10 for item in items]
        finally:
            self.running -= 1

    async def starts(self, batches: int = 1) -> None:
        await eventually(lambda: len(self.batches) >= batches)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest_asyncio.fixture
async def coalescer(worker: Worker) -> AsyncIterator[Coalescer[int, int]]:
    async with closing(coalescer_of(worker)) as made:
        yield made


def coalescer_of(worker: Worker, *, batch_max: int = BATCH_MAX, in_flight_max: int = 1) -> Coalescer[int, int]:
    """Tens are the key: 31 and 35 are of one key, 41 of another."""
    return Coalescer(
        worker.apply,
        name="the test",
        batch_max=batch_max,
        pending_max=PENDING_MAX,
        key=lambda item: item // 10,
        in_flight_max=in_flight_max,
        poison=(Poisoned,),
    )


def flat(batches: list[list[int]]) -> list[int]:
    return [item for batch in batches for item in batch]


async def occupy(worker: Worker, coalescer: Coalescer[int, int]) -> asyncio.Task[int]:
    """Start a batch that lasts until the gate is opened."""
    worker.gate.clear()
    first = asyncio.create_task(coalescer.submit(0))
    await worker.starts()
    return first


async def test_a_lone_item_is_done_alone_and_at_once(worker: Worker, coalescer: Coalescer[int, int]) -> None:
    assert await coalescer.submit(1) == 10
    assert await coalescer.submit(2) == 20
    assert worker.batches == [[1], [2]]


async def test_what_arrives_while_a_batch_runs_is_the_next_batch(
    worker: Worker, coalescer: Coalescer[int, int]
) -> None:
    first = await occupy(worker, coalescer)
    rest = [asyncio.create_task(coalescer.submit_all([number, number + 1])) for number in (1, 3, 5)]
    await asyncio.sleep(0)
    worker.gate.set()
    assert await asyncio.gather(*rest) == [[10, 20], [30, 40], [50, 60]]
    assert await first == 0
    assert worker.batches == [[0], [1, 2, 3, 4, 5, 6]]


async def test_a_batch_is_bounded_and_the_items_of_one_key_stay_in_order(
    worker: Worker, coalescer: Coalescer[int, int]
) -> None:
    items = [30 + number % 10 for number in range(20)]
    assert await coalescer.submit_all(items) == [item * 10 for item in items]
    assert [len(batch) for batch in worker.batches] == [8, 8, 4]
    assert flat(worker.batches) == items


async def test_nothing_to_do_is_done(worker: Worker, coalescer: Coalescer[int, int]) -> None:
    assert await coalescer.submit_all([]) == []
    assert not worker.batches


async def test_a_busy_key_does_not_keep_a_quiet_one_waiting(worker: Worker, coalescer: Coalescer[int, int]) -> None:
    first = await occupy(worker, coalescer)
    busy = asyncio.create_task(coalescer.submit_all([11] * 50))
    await asyncio.sleep(0)
    quiet = asyncio.create_task(coalescer.submit_all([21, 22]))
    await asyncio.sleep(0)
    worker.gate.set()
    await asyncio.gather(first, busy, quiet)
    assert Counter(worker.batches[1]) == {11: 6, 21: 1, 22: 1}
    assert all(set(batch) == {11} for batch in worker.batches[2:])


async def test_more_keys_than_a_batch_holds_take_turns(worker: Worker, coalescer: Coalescer[int, int]) -> None:
    keys = range(10, 200, 10)
    await coalescer.submit_all([key + number for key in keys for number in range(3)])
    served = [item // 10 * 10 for batch in worker.batches for item in batch]
    for turn in range(3):
        assert set(served[turn * len(keys) : (turn + 1) * len(keys)]) == set(keys)


async def test_turns_may_be_longer_where_keys_do_not_all_fit(worker: Worker) -> None:
    coalescer = Coalescer[int, int](
        worker.apply, name="the test", key=lambda item: item // 10, batch_max=8, pending_max=100, turn_min=3
    )
    keys = range(10, 200, 10)
    async with closing(coalescer):
        await coalescer.submit_all([key + number for key in keys for number in range(4)])
    assert [len(batch) for batch in worker.batches] == [8] * 9 + [4]
    assert worker.batches[:3] == [
        [10, 11, 12, 20, 21, 22, 30, 31],
        [40, 41, 42, 50, 51, 52, 60, 61],
        [70, 71, 72, 80, 81, 82, 90, 91],
    ]
    served = [item for batch in worker.batches for item in batch]
    for key in keys:
        assert [item for item in served if item // 10 == key // 10] == [key, key + 1, key + 2, key + 3]


async def test_a_turn_is_short_where_others_wait_and_a_batch_full_where_nobody_does(worker: Worker) -> None:
    coalescer = Coalescer[int, int](
        worker.apply, name="the test", key=lambda item: item // 10, batch_max=8, pending_max=100, turn_max=2
    )
    async with closing(coalescer):
        first = await occupy(worker, coalescer)
        busy = asyncio.create_task(coalescer.submit_all([11] * 20))
        await asyncio.sleep(0)
        quiet = asyncio.create_task(coalescer.submit_all([21, 22, 23]))
        await asyncio.sleep(0)
        worker.gate.set()
        await asyncio.gather(first, busy, quiet)
    assert [Counter(batch) for batch in worker.batches[1:3]] == [{11: 2, 21: 1, 22: 1}, {11: 2, 23: 1}]
    assert [len(batch) for batch in worker.batches[3:]] == [8, 8]


async def test_refuses_what_would_overfill_it_before_taking_any(worker: Worker, coalescer: Coalescer[int, int]) -> None:
    first = await occupy(worker, coalescer)
    full = asyncio.create_task(coalescer.submit_all([1] * (PENDING_MAX - 1)))
    await asyncio.sleep(0)
    with pytest.raises(DomainError) as refusal:
        await coalescer.submit_all([7, 8])
    assert (refusal.value.reason, refusal.value.code) == ("OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert refusal.value.retry_after_seconds
    last = asyncio.create_task(coalescer.submit(9))
    await asyncio.sleep(0)
    worker.gate.set()
    await asyncio.gather(first, full, last)
    done = Counter(flat(worker.batches))
    assert (done[7], done[8], done[9]) == (0, 0, 1)


async def test_a_cancelled_caller_breaks_nothing_and_its_item_is_done(
    worker: Worker, coalescer: Coalescer[int, int]
) -> None:
    first = await occupy(worker, coalescer)
    callers = [asyncio.create_task(coalescer.submit(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    first.cancel()
    callers[1].cancel()
    await asyncio.wait([first, callers[1]])
    worker.gate.set()
    assert (await callers[0], await callers[2]) == (10, 30)
    assert first.cancelled()
    assert callers[1].cancelled()
    assert worker.batches == [[0], [1, 2, 3]]


async def test_a_poisonous_item_fails_alone(coalescer: Coalescer[int, int]) -> None:
    answers = await coalescer.submit_all([1, 2, -3, 4, 5, 6, -7, 8])
    assert [repr(one) if isinstance(one, Exception) else one for one in answers] == [
        10, 20, "Poisoned(-3)", 40, 50, 60, "Poisoned(-7)", 80,
    ]  # fmt: skip
    with pytest.raises(Poisoned):
        await coalescer.submit(-1)


async def test_only_what_is_not_poison_is_a_defect_in_the_log(worker: Worker, coalescer: Coalescer[int, int]) -> None:
    with structlog.testing.capture_logs() as logs:
        await coalescer.submit_all([1, -3, -7])
        with pytest.raises(Poisoned):
            await coalescer.submit(-1)
    assert logs == []
    worker.raises = RuntimeError("a defect")
    with structlog.testing.capture_logs() as logs:
        await coalescer.submit_all([1, 2])
    assert [line["event"] for line in logs] == ["batch failed"]


async def test_any_other_exception_is_the_answer_to_all(worker: Worker, coalescer: Coalescer[int, int]) -> None:
    worker.raises = error = RuntimeError("a defect")
    assert await coalescer.submit_all([1, 2, 3]) == [error] * 3
    assert len(worker.batches) == 1
    worker.raises = None
    assert await coalescer.submit(4) == 40


async def test_a_batch_that_cannot_be_done_now_is_not_done_in_halves(worker: Worker) -> None:
    worker.raises = away = DomainError(grpc.StatusCode.UNAVAILABLE, "AWAY", "come again")
    coalescer = Coalescer(worker.apply, name="the test", batch_max=8, pending_max=8, poison=(Exception,))
    assert await coalescer.submit_all([1, 2, 3]) == [away] * 3
    assert len(worker.batches) == 1
    await coalescer.close()


async def test_exceptions_may_be_results() -> None:
    refusal = ValueError("this one")

    async def apply(items: Sequence[int]) -> list[int | BaseException]:
        return [refusal if item == 2 else item for item in items]

    async with closing(Coalescer(apply, name="the test", batch_max=8, pending_max=8)) as refusing:
        assert await refusing.submit_all([1, 2, 3]) == [1, refusal, 3]
        with pytest.raises(ValueError, match="this one"):
            await refusing.submit(2)


async def test_too_few_results_are_a_defect_of_all() -> None:
    async def apply(items: Sequence[int]) -> list[int | BaseException]:
        return [items[0]]

    async with closing(Coalescer(apply, name="the test", batch_max=8, pending_max=8)) as forgetful:
        answers = await forgetful.submit_all([1, 2])
    assert [str(answer) for answer in answers] == ["the test answered 1 results for 2 items"] * 2


async def test_the_trace_of_a_shared_exception_does_not_grow_with_its_callers(
    worker: Worker, coalescer: Coalescer[int, int]
) -> None:
    worker.raises = RuntimeError("a defect")
    lengths: list[int] = []

    async def call() -> None:
        try:
            await coalescer.submit(1)
        except RuntimeError as error:
            lengths.append(len(traceback.extract_tb(error.__traceback__)))

    await asyncio.gather(*(call() for _ in range(50)))
    assert len(lengths) == 50
    assert max(lengths) < 10


async def test_closing_finishes_what_was_taken_and_takes_no_more(
    worker: Worker, coalescer: Coalescer[int, int]
) -> None:
    first = await occupy(worker, coalescer)
    taken = asyncio.create_task(coalescer.submit_all(list(range(1, 20))))
    await asyncio.sleep(0)
    closing = asyncio.create_task(coalescer.close())
    await asyncio.sleep(0)
    with pytest.raises(DomainError, match="OVERLOADED"):
        await coalescer.submit(99)
    assert not closing.done()
    worker.gate.set()
    await closing
    assert first.done()
    assert await taken == [number * 10 for number in range(1, 20)]
    await coalescer.close()


ONE_CALLER = [[1, 2, 3, 4, 5, 6, 7, 8, 9]]
NINE_CALLERS = [[number] for number in range(9)]


@pytest.mark.parametrize("in_flight_max", [1, 3])
@pytest.mark.parametrize("callers", [ONE_CALLER, NINE_CALLERS], ids=["one caller", "nine callers"])
async def test_as_many_batches_run_at_once_as_may(worker: Worker, in_flight_max: int, callers: list[list[int]]) -> None:
    coalescer = coalescer_of(worker, batch_max=2, in_flight_max=in_flight_max)
    worker.gate.clear()
    tasks = [asyncio.create_task(coalescer.submit_all(items)) for items in callers]
    try:
        await worker.starts(in_flight_max)
    finally:
        worker.gate.set()
        await asyncio.wait(tasks)
        await coalescer.close()
    assert worker.running_most == in_flight_max


async def test_callers_at_random_moments_all_get_their_own() -> None:
    chance = random.Random(7)  # noqa: S311  # a test that can be repeated
    order: dict[int, list[int]] = {}

    async def apply(items: Sequence[tuple[int, int]]) -> list[tuple[int, int] | BaseException]:
        for key, number in items:
            order.setdefault(key, []).append(number)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        return list(items)

    async def call(coalescer: Coalescer[tuple[int, int], tuple[int, int]], key: int) -> None:
        for number in range(100):
            assert await coalescer.submit((key, number)) == (key, number)
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)

    async with closing(
        Coalescer(apply, name="the test", batch_max=5, pending_max=50, key=lambda item: item[0])
    ) as coalescer:
        await asyncio.gather(*(call(coalescer, key) for key in range(20)))
    assert order == {key: list(range(100)) for key in range(20)}


async def test_nobody_hangs_when_the_loop_cancels_the_coalescers_task(worker: Worker) -> None:
    """As a process does in the end with all of its tasks."""
    coalescer = coalescer_of(worker)
    first = await occupy(worker, coalescer)
    waiting = asyncio.create_task(coalescer.submit(1))
    await asyncio.sleep(0)
    (runner,) = coalescer._runners
    runner.cancel()
    await asyncio.wait([first, waiting], timeout=5)
    assert first.cancelled()
    assert waiting.cancelled()
    worker.gate.set()
    assert await coalescer.submit(2) == 20
    await coalescer.close()


async def test_a_pace_keeps_items_for_one_batch_until_it_is_time_or_the_batch_is_full(worker: Worker) -> None:
    pace_seconds = 30.0
    async with closing(
        Coalescer(worker.apply, name="test", batch_max=BATCH_MAX, pending_max=PENDING_MAX, pace_seconds=pace_seconds)
    ) as paced:
        assert await paced.submit(0) == 0, "an idle caller is served at once"
        early = [asyncio.create_task(paced.submit(item)) for item in range(1, BATCH_MAX)]
        await asyncio.sleep(0.05)
        assert worker.batches == [[0]], "what comes within the pace waits"
        async with asyncio.timeout(pace_seconds / 3):
            assert await paced.submit(BATCH_MAX) == BATCH_MAX * 10, "a full batch waits for nothing"
            assert await asyncio.gather(*early) == [item * 10 for item in range(1, BATCH_MAX)]
    assert worker.batches == [[0], list(range(1, BATCH_MAX + 1))]


async def test_a_batch_that_is_not_full_starts_when_its_time_has_come(worker: Worker) -> None:
    async with closing(
        Coalescer(worker.apply, name="test", batch_max=BATCH_MAX, pending_max=PENDING_MAX, pace_seconds=0.05)
    ) as paced:
        await paced.submit(0)
        assert await asyncio.gather(*map(paced.submit, (1, 2))) == [10, 20]
    assert worker.batches == [[0], [1, 2]]
