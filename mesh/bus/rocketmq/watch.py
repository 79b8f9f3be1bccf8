"""Waiting until queues have work, as the index tells it; and now and then finding what the index does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis

from mesh import telemetry
from mesh.bus.rocketmq.brokers import Brokers, QueueOffsets
from mesh.bus.rocketmq.index import QueueIndex
from mesh.bus.rocketmq.topics import Topics
from mesh.bus.sleepers import Sleepers
from mesh.ending import end
from mesh.periodic import Periodic
from mesh.redis_wake import WakeChannel

SLOW_LOOK_SECONDS = 30
"""How long a message may stay unseen whose hint was lost."""

STILL_SECONDS = 1.0
"""How long nobody must have taken anything of a queue before its messages count as unseen."""

LOOK_SECONDS_MAX = 1.0
LOOK_SECONDS_MIN = 0.002

log = telemetry.logger(part="rocketmq")


@dataclass(frozen=True, slots=True)
class _Unread:
    """How many messages of a topic nobody took, and how many were taken before them."""

    messages: int = 0
    position: int = 0

    def plus(self, offsets: QueueOffsets) -> _Unread:
        return _Unread(self.messages + offsets.end - offsets.next, self.position + offsets.next)


class Watch:
    """Watches the queues of one deployment."""

    def __init__(self, redis: Redis, index: QueueIndex, topics: Topics, brokers: Brokers) -> None:
        self._index = index
        self._topics = topics
        self._brokers = brokers
        self._sleepers = Sleepers()
        self._wake = WakeChannel(redis, index.wake_channel, self._sleepers.wake)
        self._closing = asyncio.Event()
        self._slow_looks: asyncio.Task[None] | None = None

    async def wait(self, prefixes: tuple[str, ...], timeout_seconds: float, accepts: Callable[[str], bool]) -> set[str]:
        """Wait until queues with these prefixes that `accepts` takes are due, and name them; none on time-out."""
        self._start()
        return await self._sleepers.wait(prefixes, timeout_seconds, partial(self._look_at_index, prefixes, accepts))

    async def _look_at_index(self, prefixes: tuple[str, ...], accepts: Callable[[str], bool]) -> tuple[set[str], float]:
        ready, pause_ms = await self._index.ready(prefixes, accepts)
        pause = LOOK_SECONDS_MAX if pause_ms is None else min(LOOK_SECONDS_MAX, pause_ms / 1000)
        return ready, max(pause, LOOK_SECONDS_MIN)

    async def look(self) -> int:
        """Ask the brokers which messages nobody takes, and tell the index; answer of how many it did not know."""
        queues = {self._topics.of(queue): queue for queue in await self._topics.list()}
        await self._index.add_queues(set(queues.values()) - await self._index.queues())
        before = await self._unread(queues)
        await asyncio.sleep(STILL_SECONDS)
        after = await self._unread(before)
        still = {topic: unread for topic, unread in after.items() if unread.position == before[topic].position}
        return sum([await self._index.found(queues[topic], unread.messages) for topic, unread in still.items()])

    async def _unread(self, topics: Collection[str]) -> dict[str, _Unread]:
        """Say how much of topics has not been taken, of those that have some."""
        unread = dict.fromkeys(topics, _Unread())
        for offsets in await self._brokers.offsets(topics):
            unread[offsets.topic] = unread[offsets.topic].plus(offsets)
        return {topic: one for topic, one in unread.items() if one.messages > 0}

    async def close(self) -> None:
        """Watch no more."""
        self._closing.set()
        if self._slow_looks is not None:
            await end(self._slow_looks)
        await self._wake.close()

    def _start(self) -> None:
        self._wake.start()
        if self._slow_looks is None:
            slow_looks = Periodic("rocketmq slow look", self._look_in_turn, SLOW_LOOK_SECONDS)
            self._slow_looks = asyncio.create_task(slow_looks.run(self._closing), name="rocketmq slow looks")

    async def _look_in_turn(self) -> None:
        """Look, unless another process just did."""
        if not await self._index.is_first("slow look", SLOW_LOOK_SECONDS // 2):
            return
        found = await self.look()
        if found:
            log.info("queues found with work that no hint named", queues=found)
