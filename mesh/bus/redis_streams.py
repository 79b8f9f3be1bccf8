"""The bus on the streams of one Redis or Valkey server.

A queue is a stream with one consumer group; what is hidden, what is delayed and which queues are due stand in sorted
sets beside it, and Lua changes them together (see `lua/queue.lua`). Idle queues are in no sorted set and cost no look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import TypeVar, cast

from redis.asyncio import Redis

from mesh.bus import redis_scripts as scripts
from mesh.bus.envelope import Envelope, new_message_id
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
from mesh.bus.ready_queues import read_ready
from mesh.bus.redis_errors import unavailable
from mesh.bus.sleepers import Sleepers
from mesh.redis_script import Argument, JointScripts, LuaScript, Reply
from mesh.redis_wake import WakeChannel

Item = TypeVar("Item")

CHUNK = 500
"""Messages that one script handles at most, so that no call keeps the server from others for long."""

LOOK_SECONDS_MAX = 1.0
"""A sleeper looks this often although nothing woke it: pub/sub may lose messages."""

LOOK_SECONDS_MIN = 0.002
_FIELDS_A_MESSAGE = 5


class RedisStreamsBus:
    """The `Bus` port on streams.

    `buckets` is how many Redis Cluster slots the queues are spread over, and stays the same for the life of the data.
    The client must speak RESP2 and answer bytes; the bus closes it. Needs Valkey, or Redis 7 or later.
    """

    def __init__(self, redis: Redis, *, buckets: int = 1, visibility_seconds_min: int = VISIBILITY_SECONDS_MIN) -> None:
        self._redis = redis
        self._scripts = JointScripts(redis, "the way to the bus")
        self._keys = scripts.Keys(buckets)
        self._visibility_seconds_min = visibility_seconds_min
        self._sleepers = Sleepers()
        self._wake = WakeChannel(redis, scripts.WAKE_CHANNEL, self._sleepers.wake)

    async def ensure(self, queue: str) -> None:
        with unavailable():
            await self._redis.sadd(self._keys.registry(queue), queue)

    async def queues(self, prefix: str) -> list[str]:
        with unavailable():
            return sorted(
                [
                    name.decode()
                    for registry in self._keys.registries()
                    async for name in self._redis.sscan_iter(registry, count=1000)
                    if name.startswith(prefix.encode())
                ]
            )

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        encoded = [Envelope(new_message_id(), message.headers, message.body).encode() for message in messages]
        for chunk in _chunks(encoded):
            await self._run(scripts.PUBLISH, queue, _ms(delay_seconds), *chunk)

    async def wait_ready(
        self, prefixes: Collection[str], timeout_seconds: float, accepts: Callable[[str], bool] = accept_all
    ) -> set[str]:
        self._wake.start()
        wanted = tuple(prefixes)
        return await self._sleepers.wait(wanted, timeout_seconds, partial(self._look, wanted, accepts))

    async def receive(self, queue: str, max_messages: int, visibility_seconds: int) -> list[Delivery]:
        check_visibility(visibility_seconds, self._visibility_seconds_min)
        reply = await self._run(scripts.RECEIVE, queue, min(max_messages, CHUNK), visibility_seconds * 1000)
        values = cast("list[bytes]", reply)
        return [
            _delivery(queue, *values[start : start + _FIELDS_A_MESSAGE])
            for start in range(0, len(values), _FIELDS_A_MESSAGE)
        ]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for queue, handles in _handles_by_queue(deliveries):
            await self._run(scripts.ACK, queue, *handles)

    async def nack(self, delivery: Delivery, delay_seconds: float) -> None:
        await self._run(scripts.NACK, delivery.queue, *delivery.handle.split(), _ms(delay_seconds))

    async def extend(self, deliveries: Sequence[Delivery], visibility_seconds: int) -> None:
        check_visibility(visibility_seconds, self._visibility_seconds_min)
        for queue, handles in _handles_by_queue(deliveries):
            await self._run(scripts.EXTEND, queue, visibility_seconds * 1000, *handles)

    async def dead(self, delivery: Delivery, reason: str) -> None:
        headers = {**delivery.headers, DEAD_REASON_HEADER: reason}
        envelope = Envelope(delivery.message_id, headers, delivery.body).encode()
        dead_queue = delivery.queue + DEAD_SUFFIX
        keys = [*self._keys.of_queue(delivery.queue), self._keys.stream(dead_queue)]
        handle = delivery.handle.split()
        await self._run(scripts.DEAD, delivery.queue, *handle, envelope, dead_queue, keys=keys)

    async def requeue_dead(self, queue: str, max_messages: int) -> int:
        keys = [*self._keys.of_queue(queue), self._keys.stream(queue + DEAD_SUFFIX)]
        requeued = 0
        while requeued < max_messages:
            limit = min(CHUNK, max_messages - requeued)
            moved = cast("int", await self._run(scripts.REQUEUE_DEAD, queue, limit, keys=keys))
            requeued += moved
            if moved < limit:
                break
        return requeued

    async def list_dead(self, queue: str, max_messages: int) -> list[Delivery]:
        dead_queue = queue + DEAD_SUFFIX
        with unavailable():
            reply = await self._redis.xrange(self._keys.stream(dead_queue), count=max_messages)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", reply)
        return [
            _delivery(dead_queue, entry_id, 0, fields[b"a"], fields[b"p"], fields[b"m"]) for entry_id, fields in entries
        ]

    async def depth(self, queue: str) -> Depth:
        reply = cast("list[int]", await self._run(scripts.DEPTH, queue))
        ready, in_flight, delayed, oldest_age_ms = reply
        return Depth(ready, in_flight, delayed, oldest_age_ms / 1000)

    async def close(self) -> None:
        await self._wake.close()
        await self._scripts.close()
        await self._redis.aclose()

    async def _run(
        self, script: LuaScript, queue: str, *arguments: Argument, keys: Sequence[str] | None = None
    ) -> Reply:
        channel = "" if queue.endswith(DEAD_SUFFIX) else scripts.WAKE_CHANNEL
        with unavailable():
            return await self._scripts.run(script, keys or self._keys.of_queue(queue), (queue, channel, *arguments))

    async def _look(self, prefixes: tuple[str, ...], accepts: Callable[[str], bool]) -> tuple[set[str], float]:
        """Name the queues that are due, and say after how many seconds to look again."""
        ready: set[str] = set()
        pause = LOOK_SECONDS_MAX
        with unavailable():
            found = await asyncio.gather(
                *(read_ready(self._scripts, due, prefixes, accepts) for due in self._keys.due())
            )
        for names, next_due_in_ms in found:
            ready |= names
            if next_due_in_ms is not None:
                pause = min(pause, next_due_in_ms / 1000)
        return ready, max(pause, LOOK_SECONDS_MIN)


def _delivery(  # noqa: PLR0917  # one argument a value of the scripts' reply, in its order
    queue: str, stream_id: bytes, delivery: bytes | int, attempts: bytes, published_at_ms: bytes, encoded: bytes
) -> Delivery:
    envelope = Envelope.decode(encoded)
    return Delivery(
        queue=queue,
        message_id=envelope.message_id,
        body=envelope.body,
        headers=envelope.headers,
        attempt=int(attempts) + int(delivery),
        published_at_ms=int(published_at_ms),
        handle=f"{stream_id.decode()} {int(delivery)}",
    )


def _handles_by_queue(deliveries: Sequence[Delivery]) -> Iterator[tuple[str, list[str]]]:
    """Name the queues of `deliveries`, each with pairs of stream id and delivery, a script's worth at a time."""
    by_queue: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        by_queue.setdefault(delivery.queue, []).append(delivery)
    for queue, of_queue in by_queue.items():
        for chunk in _chunks(of_queue):
            yield queue, [part for delivery in chunk for part in delivery.handle.split()]


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
