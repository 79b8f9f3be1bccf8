"""The bus on RocketMQ: a topic a queue, a consumer group a kind of queue, and hints about them in Redis.

What is received stays with its broker, hidden for a time, until it is settled: a broker delivers again what is not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from redis.asyncio import Redis

from mesh.bus.envelope import new_message_id
from mesh.bus.port import (
    DEAD_REASON_HEADER,
    DEAD_SUFFIX,
    VISIBILITY_SECONDS_MIN,
    Delivery,
    Depth,
    Message,
    accept_all,
    check_visibility,
)
from mesh.bus.rocketmq.brokers import Brokers
from mesh.bus.rocketmq.clock import SharedClock
from mesh.bus.rocketmq.deployment import Deployment
from mesh.bus.rocketmq.errors import HandleExpiredError, TopicMissingError
from mesh.bus.rocketmq.held import Held, Holdings
from mesh.bus.rocketmq.index import Aside, QueueIndex
from mesh.bus.rocketmq.letter import Letter
from mesh.bus.rocketmq.names import TopicNames
from mesh.bus.rocketmq.proxy import Incoming, Proxy, Receipt
from mesh.bus.rocketmq.receiver import Receiver
from mesh.bus.rocketmq.sender import Sender
from mesh.bus.rocketmq.topics import Topics
from mesh.bus.rocketmq.watch import Watch

Answer = TypeVar("Answer")

RECEIVE_MAX = 512
"""Messages that one call receives at most."""

HIDE_SECONDS_MAX = 12 * 3600
"""How long a broker hides a message at most; beyond that it is sent anew, with a delay."""

SETTLEMENTS_MAX = 16
"""Requests about single messages under way at once."""

_MOVE_SECONDS = 30
"""How long a message stays ours while it is moved."""


class RocketMqBus:
    """The `Bus` port on RocketMQ 5. `redis` answers bytes and speaks RESP2; the bus closes it.

    Only the bus that received a message can settle it. Not for use across a fork.
    """

    def __init__(
        self,
        deployment: Deployment,
        redis: Redis,
        consumer: str,
        *,
        visibility_seconds_min: int = VISIBILITY_SECONDS_MIN,
    ) -> None:
        self._deployment = deployment
        self._redis = redis
        self._visibility_seconds_min = visibility_seconds_min
        self._index = QueueIndex(redis, deployment.name)
        self._clock = SharedClock(redis)
        names = TopicNames(deployment.name)
        self._brokers = Brokers(deployment.name_servers, deployment.cluster, names)
        self._proxy = Proxy(deployment.proxy, names, consumer)
        self._topics = Topics(names, self._brokers, self._index)
        self._sender = Sender(self._proxy)
        self._receiver = Receiver(self._proxy, self._brokers)
        self._watch = Watch(redis, self._index, self._topics, self._brokers)
        self._holdings = Holdings()
        self._settling = asyncio.Semaphore(SETTLEMENTS_MAX)

    async def ensure(self, queue: str) -> None:
        await self._topics.ensure(queue)

    async def queues(self, prefix: str) -> list[str]:
        return sorted(queue for queue in await self._index.queues() if queue.startswith(prefix))

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        await self._topics.ensure(queue)
        now_ms = await self._clock.now_ms()
        await self._publish(queue, [Letter.new(one, new_message_id(), now_ms, delay_seconds) for one in messages])

    async def wait_ready(
        self, prefixes: Collection[str], timeout_seconds: float, accepts: Callable[[str], bool] = accept_all
    ) -> set[str]:
        return await self._watch.wait(tuple(prefixes), timeout_seconds, accepts)

    async def receive(self, queue: str, max_messages: int, visibility_seconds: int) -> list[Delivery]:
        check_visibility(visibility_seconds, self._visibility_seconds_min)
        topic = self._topics.of(queue)
        async with self._receiver.alone(topic):
            look = await self._index.look(queue)
            if not look.is_known:
                return []
            limit = min(max_messages, RECEIVE_MAX)
            until_ms = await self._clock.now_ms() + visibility_seconds * 1000
            received, is_empty = await self._receiver.receive(topic, limit, visibility_seconds, look.expected)
            deliveries = await self._take(queue, received, until_ms)
            await self._index.received(queue, look, len(deliveries), until_ms, is_empty=is_empty)
        return deliveries

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for queue, ours in self._holdings.by_queue(deliveries):
            expired = await self._proxy.acknowledge(self._topics.of(queue), [held.receipt for _, held in ours])
            self._holdings.drop(delivery for delivery, _ in ours)
            settled = [held.aside for _, held in ours if held.receipt.handle not in expired]
            await self._index.settled(queue, settled)

    async def nack(self, delivery: Delivery, delay_seconds: float) -> None:
        due_at_ms = await self._clock.now_ms() + round(delay_seconds * 1000)
        if delay_seconds > HIDE_SECONDS_MAX:
            letter = replace(Letter.of(delivery), attempts=delivery.attempt, due_at_ms=due_at_ms)
            await self._move(delivery, delivery.queue, letter)
            return
        before = await self._hide(delivery, delay_seconds)
        if before is not None:
            self._holdings.drop([delivery])
            await self._index.returned(delivery.queue, before, due_at_ms if delay_seconds else 0)

    async def extend(self, deliveries: Sequence[Delivery], visibility_seconds: int) -> None:
        check_visibility(visibility_seconds, self._visibility_seconds_min)
        until_ms = await self._clock.now_ms() + visibility_seconds * 1000
        for queue, ours in self._holdings.by_queue(deliveries):
            before = await _all(self._hide(delivery, visibility_seconds) for delivery, _ in ours)
            for _, held in ours:
                held.aside = replace(held.aside, until_ms=until_ms)
            await self._index.extended(queue, [aside for aside in before if aside is not None], until_ms)

    async def dead(self, delivery: Delivery, reason: str) -> None:
        letter = replace(Letter.of(delivery), attempts=delivery.attempt).with_header(DEAD_REASON_HEADER, reason)
        await self._move(delivery, delivery.queue + DEAD_SUFFIX, letter)

    async def requeue_dead(self, queue: str, max_messages: int) -> int:
        requeued = 0
        while requeued < max_messages:
            letters = await self.receive(queue + DEAD_SUFFIX, max_messages - requeued, _MOVE_SECONDS)
            if not letters:
                break
            await self._publish(queue, [Letter.of(letter) for letter in letters])
            await self.ack(letters)
            requeued += len(letters)
        return requeued

    async def list_dead(self, queue: str, max_messages: int) -> list[Delivery]:
        dead_queue = queue + DEAD_SUFFIX
        if not (await self._index.look(dead_queue)).is_known:
            return []
        now_ms = await self._clock.now_ms()
        stored = await self._brokers.look(self._topics.of(dead_queue), max_messages)
        letters = [Letter.read(one.message_id, one.body, one.properties, now_ms) for one in stored]
        return [letter.delivery(dead_queue, letter.attempts, handle="") for letter in letters]

    async def depth(self, queue: str) -> Depth:
        return await self._index.depth(queue)

    async def close(self) -> None:
        await self._watch.close()
        await self._proxy.close()
        await self._index.close()
        await self._redis.aclose()

    async def _publish(self, queue: str, letters: Sequence[Letter]) -> None:
        """Send letters, then say so in the index: a consumer that looked earlier would look in vain."""
        if not letters:
            return
        topic = await self._topics.ensure(queue)
        try:
            await self._send(topic, letters)
        except TopicMissingError:
            self._topics.forget(queue)
            raise
        for (published_at_ms, due_at_ms), number in Counter(
            (letter.published_at_ms, letter.due_at_ms) for letter in letters
        ).items():
            await self._index.published(queue, number, published_at_ms, due_at_ms)

    async def _send(self, topic: str, letters: Sequence[Letter]) -> None:
        now_ms = await self._clock.now_ms()
        await self._sender.send(topic, [one.outgoing(self._deployment.delay_seconds_max, now_ms) for one in letters])

    async def _take(self, queue: str, received: Sequence[Incoming], until_ms: int) -> list[Delivery]:
        """Hold what was received; what a broker could not keep until its time is sent on its way again."""
        deliveries: list[Delivery] = []
        now_ms = await self._clock.now_ms()
        for incoming in received:
            letter = Letter.read(incoming.receipt.message_id, incoming.body, incoming.properties, now_ms)
            if letter.has_to_wait_on:
                await self._send_on(queue, letter, incoming.receipt)
                continue
            delivery = letter.delivery(queue, letter.attempts + incoming.deliveries, incoming.receipt.handle)
            aside = Aside(until_ms, letter.published_at_ms)
            self._holdings.add(delivery, Held(incoming.receipt, aside), now_ms)
            deliveries.append(delivery)
        return deliveries

    async def _send_on(self, queue: str, letter: Letter, receipt: Receipt) -> None:
        topic = self._topics.of(queue)
        await self._send(topic, [letter])
        await self._proxy.acknowledge(topic, [receipt])

    async def _move(self, delivery: Delivery, queue: str, letter: Letter) -> None:
        """Send a letter in the place of a message that is still ours. A crash leaves both of them, never none."""
        before = await self._hide(delivery, _MOVE_SECONDS)
        held = self._holdings.get(delivery)
        if before is None or held is None:
            return
        await self._publish(queue, [letter])
        await self._proxy.acknowledge(self._topics.of(delivery.queue), [held.receipt])
        self._holdings.drop([delivery])
        await self._index.settled(delivery.queue, [before])

    async def _hide(self, delivery: Delivery, seconds: float) -> Aside | None:
        """Have a message delivered again in `seconds`; answer what was known of it. None if it is not ours any more."""
        held = self._holdings.get(delivery)
        if held is None:
            return None
        async with self._settling:
            try:
                held.receipt = await self._proxy.hide(self._topics.of(delivery.queue), held.receipt, seconds)
            except HandleExpiredError:
                self._holdings.drop([delivery])
                return None
        return held.aside


async def _all(asked: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Await all, then raise what one of them raised: none is left behind."""
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
