"""Coalescing: what arrives while a batch is in flight is the next batch.

An idle caller is served at once, alone; under load the batches grow by themselves to the size at which one round trip,
one commit or one call carries them all. A pace, where one is set, has them grow sooner: what every batch costs, however
small, is paid for so often and no oftener.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from mesh import telemetry
from mesh.errors import DomainError, overloaded
from mesh.waiting import set_within

log = telemetry.logger()

Item = TypeVar("Item")
Result = TypeVar("Result")

Apply = Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]]
"""Does a batch: one result, or one exception, an item, in order."""


def own(error: BaseException) -> BaseException:
    """Prepare an exception that many callers raise for being raised by one of them.

    Each raise lengthens the trace that the exception carries, so it is cut here: without that, the logs of a failed
    batch grow with the square of its callers. Where it came from was logged once, by the coalescer.
    """
    return error.with_traceback(None)


class _Group(Generic[Result]):
    """Items that one caller handed in together, and the future it waits on."""

    __slots__ = ("future", "missing", "results")

    def __init__(self, count: int) -> None:
        self.results: list[Result | BaseException | None] = [None] * count
        self.missing = count
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, position: int, result: Result | BaseException) -> None:
        self.results[position] = result
        self.missing -= 1
        if self.missing == 0 and not self.future.done():
            self.future.set_result(None)


class _Pending(Generic[Item, Result]):
    __slots__ = ("group", "item", "position")

    def __init__(self, item: Item, group: _Group[Result], position: int) -> None:
        self.item = item
        self.group = group
        self.position = position


class Coalescer(Generic[Item, Result]):
    """Collects items of many callers into batches and hands each caller its own result.

    `key` names whose turn an item is: batches take from all keys in turn, so that one busy key does not keep the others
    waiting; items of one key stay in order. Where more keys wait than a batch has room for, a turn is `turn_min` items
    nevertheless, for work of which a part is done once a key and batch. Where several keys wait, a turn is `turn_max`
    items at most, so that a batch is soon done however much waits of one key. `in_flight_max` batches run at once; with
    1, batches run strictly one after the other. A caller that is cancelled leaves its item in the batch, because a
    commit can no longer leave it out.

    `pace_seconds` is the least time between the starts of two batches, unless so much waits that the next one is full:
    the longest that an item may be kept from its batch for the sake of those that come after it.

    When `apply` raises one of `poison`, the batch is done again in halves, so that the item that spoils it fails alone.
    A DomainError is never poison: it says that the batch cannot be done, and a refusal of one item is its result. What
    is not poison is the answer to every item of the batch.
    """

    def __init__(
        self,
        apply: Apply[Item, Result],
        *,
        name: str,
        batch_max: int,
        pending_max: int,
        key: Callable[[Item], Hashable] = lambda _: None,
        turn_min: int = 1,
        turn_max: int | None = None,
        in_flight_max: int = 1,
        pace_seconds: float = 0.0,
        poison: tuple[type[Exception], ...] = (),
    ) -> None:
        self._apply = apply
        self._name = name
        self._batch_max = batch_max
        self._pending_max = pending_max
        self._key = key
        self._turn_min = turn_min
        self._turn_max = turn_max or batch_max
        self._in_flight_max = in_flight_max
        self._pace_seconds = pace_seconds
        self._clock = time.monotonic
        self._next_start = self._clock()
        self._is_full = asyncio.Event()
        self._poison = poison
        self._queues: OrderedDict[Hashable, deque[_Pending[Item, Result]]] = OrderedDict()
        self._pending_count = 0
        self._runners: set[asyncio.Task[None]] = set()
        self._running_count = 0
        self._closed = False

    async def close(self) -> None:
        """Take nothing more, and finish what was taken."""
        self._closed = True
        while self._runners:
            await asyncio.wait(self._runners)

    async def submit(self, item: Item) -> Result:
        """Do one item as part of some batch. Raises what `apply` answered for it, or OVERLOADED."""
        (result,) = await self.submit_all([item])
        if isinstance(result, BaseException):
            raise own(result)
        return result

    async def submit_all(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """Do many items; answer one result or exception each, in order. Raises OVERLOADED before taking any."""
        if self._closed or self._pending_count + len(items) > self._pending_max:
            raise overloaded(self._name)
        if not items:
            return []
        group: _Group[Result] = _Group(len(items))
        for position, item in enumerate(items):
            self._queues.setdefault(self._key(item), deque()).append(_Pending(item, group, position))
        self._pending_count += len(items)
        if self._pending_count >= self._batch_max:
            self._is_full.set()
        self._start_runners(batches=-(-len(items) // self._batch_max))
        await group.future
        return group.results  # type: ignore[return-value]  # every place is filled once the future is done

    def _start_runners(self, batches: int) -> None:
        for _ in range(min(batches, self._in_flight_max - self._running_count)):
            self._running_count += 1
            runner = asyncio.create_task(self._run(), name=f"coalesce {self._name}")
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)

    async def _run(self) -> None:
        try:
            while self._pending_count:
                early_seconds = self._next_start - self._clock()
                if early_seconds > 0 and self._pending_count < self._batch_max:
                    self._is_full.clear()
                    await set_within(self._is_full, early_seconds)
                    continue
                self._next_start = self._clock() + self._pace_seconds
                await self._run_batch(self._next_batch())
        except BaseException as error:
            # Cancelled, as all tasks of a loop are in the end: nobody comes to do what waits.
            while self._pending_count:
                rest = self._next_batch()
                self._settle(rest, [error] * len(rest))
            raise
        finally:
            # Counted here and not by the task's end, which the loop notices later: an item that comes in between
            # must find that nobody runs.
            self._running_count -= 1

    async def _run_batch(self, batch: list[_Pending[Item, Result]]) -> None:
        try:
            results = await self._do([pending.item for pending in batch])
        except BaseException as error:
            self._settle(batch, [error] * len(batch))
            raise
        self._settle(batch, results)

    def _next_batch(self) -> list[_Pending[Item, Result]]:
        batch: list[_Pending[Item, Result]] = []
        size_max = self._batch_max
        if len(self._queues) > 1:
            size_max = min(size_max, sum(min(len(queue), self._turn_max) for queue in self._queues.values()))
        while self._queues and len(batch) < size_max:
            # A share for each key that waits now; what is left over goes round again.
            share = min(max(self._turn_min, (size_max - len(batch)) // len(self._queues)), self._turn_max)
            for _ in range(len(self._queues)):
                room = size_max - len(batch)
                if not room:
                    break
                key, queue = self._queues.popitem(last=False)
                batch.extend(queue.popleft() for _ in range(min(share, len(queue), room)))
                if queue:
                    self._queues[key] = queue
        self._pending_count -= len(batch)
        return batch

    async def _do(self, items: list[Item]) -> Sequence[Result | BaseException]:
        try:
            results = await self._apply(items)
        except DomainError as error:
            return [error] * len(items)
        except Exception as error:
            if isinstance(error, self._poison):
                if len(items) == 1:
                    # Its caller knows what it means, a row that is there already for example, or says that nobody does.
                    return [error]
                middle = len(items) // 2
                return [*await self._do(items[:middle]), *await self._do(items[middle:])]
            log.exception("batch failed", coalescer=self._name, items=len(items))
            return [error] * len(items)
        if len(results) != len(items):
            return [RuntimeError(f"{self._name} answered {len(results)} results for {len(items)} items")] * len(items)
        return results

    @staticmethod
    def _settle(batch: list[_Pending[Item, Result]], results: Sequence[Result | BaseException]) -> None:
        for pending, result in zip(batch, results, strict=True):
            pending.group.settle(pending.position, result)
