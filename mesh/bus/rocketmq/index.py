"""Hints in Redis about queues on RocketMQ: which have work, how much, and how old it is. The brokers have the truth.

A broker can only be asked queue by queue whether there is something, so with thousands of idle queues someone has to
remember which are worth asking. See `lua/index.lua` for what is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from mesh.bus.port import DEAD_SUFFIX, Depth
from mesh.bus.ready_queues import read_ready
from mesh.bus.redis_errors import unavailable
from mesh.redis_script import Argument, JointScripts, LuaScript, Reply

LOOKS_IN_VAIN_MAX = 6
LOOK_IN_VAIN_PAUSE_MS = 250

_PACKAGE = "mesh.bus.rocketmq"


def _script(name: str) -> LuaScript:
    return LuaScript.from_files(_PACKAGE, "index.lua", name)


PUBLISHED = _script("published.lua")
LOOK = _script("look.lua")
RECEIVED = _script("received.lua")
SETTLED = _script("settled.lua")
RETURNED = _script("returned.lua")
EXTENDED = _script("extended.lua")
DEPTH = _script("depth.lua")
FOUND = _script("found.lua")


@dataclass(frozen=True, slots=True)
class Look:
    """What the index says of a queue before it is received from. `expected` is how many messages there should be."""

    is_known: bool
    expected: int
    version: int


@dataclass(frozen=True, slots=True)
class Aside:
    """A message out of sight: hidden until one time (ms), and published at another (ms)."""

    until_ms: int
    published_at_ms: int


class QueueIndex:
    """The hints of one deployment. Every call may raise BusUnavailableError."""

    def __init__(self, redis: Redis, deployment: str) -> None:
        self._redis = redis
        self._scripts = JointScripts(redis, "the way to the hints about queues")
        self._tag = f"{{rocketmq:{deployment}}}"
        self.wake_channel = f"{self._tag}:wake"

    async def add_queues(self, queues: Collection[str]) -> None:
        """Remember that queues exist."""
        if queues:
            with unavailable():
                await self._redis.sadd(self._key("queues"), *queues)

    async def queues(self) -> set[str]:
        """Name all queues."""
        with unavailable():
            return {name.decode() async for name in self._redis.sscan_iter(self._key("queues"), count=1000)}

    async def ready(self, prefixes: Sequence[str], accepts: Callable[[str], bool]) -> tuple[set[str], int | None]:
        """Name queues that are due and accepted, and say in how many ms the next one will be due, if any."""
        with unavailable():
            return await read_ready(self._scripts, self._key("due"), prefixes, accepts)

    async def published(self, queue: str, number: int, published_at_ms: int, due_at_ms: int) -> None:
        """Note messages that the brokers have taken."""
        await self._run(PUBLISHED, queue, number, _born_second(published_at_ms), _second(due_at_ms))

    async def look(self, queue: str) -> Look:
        """Say what to expect of a queue."""
        is_known, expected, version = cast("list[int]", await self._run(LOOK, queue))
        return Look(bool(is_known), expected, version)

    async def received(self, queue: str, look: Look, number: int, until_ms: int, *, is_empty: bool) -> None:
        """Note what came after `look`, and whether there was no more."""
        limits = LOOKS_IN_VAIN_MAX, LOOK_IN_VAIN_PAUSE_MS
        await self._run(RECEIVED, queue, look.version, number, _second(until_ms), int(is_empty), *limits)

    async def settled(self, queue: str, messages: Sequence[Aside]) -> None:
        """Note messages that are done with."""
        if not messages:
            return
        pairs = [(_second(one.until_ms), _born_second(one.published_at_ms)) for one in messages]
        await self._run(SETTLED, queue, *(second for pair in pairs for second in pair))

    async def returned(self, queue: str, message: Aside, due_at_ms: int) -> None:
        """Note a message that will come again."""
        await self._run(RETURNED, queue, _second(message.until_ms), _second(due_at_ms))

    async def extended(self, queue: str, messages: Sequence[Aside], until_ms: int) -> None:
        """Note messages that stay hidden."""
        if messages:
            await self._run(EXTENDED, queue, _second(until_ms), *(_second(one.until_ms) for one in messages))

    async def found(self, queue: str, ready: int) -> bool:
        """Note what the brokers say is ready; answer whether that was news."""
        return bool(await self._run(FOUND, queue, ready))

    async def depth(self, queue: str) -> Depth:
        """Say how full a queue is."""
        ready, in_flight, delayed, age_ms = cast("list[int]", await self._run(DEPTH, queue))
        return Depth(ready, in_flight, delayed, age_ms / 1000)

    async def is_first(self, job: str, seconds: int) -> bool:
        """Answer whether nobody else asked this about `job` for `seconds`."""
        with unavailable():
            return bool(await self._redis.set(self._key(f"turn:{job}"), b"", nx=True, ex=seconds))

    async def close(self) -> None:
        """Finish what was asked."""
        await self._scripts.close()

    async def _run(self, script: LuaScript, queue: str, *arguments: Argument) -> Reply:
        channel = "" if queue.endswith(DEAD_SUFFIX) else self.wake_channel
        of_queue = [self._key(f"{name}:{queue}") for name in ("counts", "times", "published", "ages")]
        with unavailable():
            keys = [*of_queue, self._key("due"), self._key("queues")]
            return await self._scripts.run(script, keys, (queue, channel, *arguments))

    def _key(self, name: str) -> str:
        return f"{self._tag}:{name}"


def _second(at_ms: int) -> int:
    """Answer the second by which a time has come."""
    return math.ceil(at_ms / 1000)


def _born_second(at_ms: int) -> int:
    return at_ms // 1000
