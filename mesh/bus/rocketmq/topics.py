"""The topics of queues, made when they are first needed."""

from __future__ import annotations

import asyncio

from mesh.bus.rocketmq.brokers import Brokers
from mesh.bus.rocketmq.index import QueueIndex
from mesh.bus.rocketmq.names import TopicNames


class Topics:
    """Knows which queues exist, and makes topics for those that do not.

    A topic must exist before a proxy is first asked about it, which otherwise remembers for some 20 s that it does not.
    """

    def __init__(self, names: TopicNames, brokers: Brokers, index: QueueIndex) -> None:
        self._names = names
        self._brokers = brokers
        self._index = index
        self._made: set[str] = set()
        self._making = asyncio.Lock()

    def of(self, queue: str) -> str:
        """Name the topic of a queue. Raises ValueError for a name that is too long."""
        return self._names.topic(queue)

    async def ensure(self, queue: str) -> str:
        """Make sure that the queue has a topic, and name that."""
        topic = self.of(queue)
        if queue not in self._made:
            async with self._making:
                await self._make(queue, topic)
        return topic

    def forget(self, queue: str) -> None:
        """Look again the next time: someone may have deleted the topic."""
        self._made.discard(queue)

    async def list(self) -> list[str]:
        """Name the queues whose topics the cluster has."""
        queues = (self._names.queue(topic) for topic in await self._brokers.topics())
        return [queue for queue in queues if queue is not None]

    async def _make(self, queue: str, topic: str) -> None:
        if queue in self._made:
            return
        await self._brokers.create_topic(topic)
        await self._index.add_queues([queue])
        self._made.add(queue)
