"""What a test has in its hands: the time, the bus, and which calls fail."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import Message as Proto
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bus.memory import MemoryBus
from mesh.bus.port import BusUnavailableError, Depth, Message
from mesh.database import Database
from mesh.errors import DomainError


class Clock:
    """The time of both services, their bus and whoever else asks."""

    def __init__(self) -> None:
        self.now_ms = time.time_ns() // 1_000_000

    def pass_ms(self, duration_ms: int) -> None:
        self.now_ms += duration_ms

    def pass_seconds(self, seconds: float) -> None:
        self.pass_ms(int(seconds * 1000))

    def seconds(self) -> float:
        return self.now_ms / 1000


class ClockedDatabase(Database):
    """A database whose clock the test moves."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(url)
        self._clock = clock

    async def now_ms(self, connection: AsyncConnection) -> int:  # noqa: ARG002  # the real one asks the connection
        return self._clock.now_ms


class SwitchedBus(MemoryBus):
    """A bus that can be away, and that can lose what it holds."""

    is_away = False

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        self._check()
        await super().publish(queue, messages, delay_seconds)

    async def depth(self, queue: str) -> Depth:
        self._check()
        return await super().depth(queue)

    def lose_everything(self) -> None:
        self._queues.clear()

    def _check(self) -> None:
        if self.is_away:
            raise BusUnavailableError("switched off")


@dataclass
class Faults:
    """What goes wrong with calls, by the name of their method: each fault is one call's, first come, first served."""

    before: dict[str, deque[grpc.StatusCode]] = field(default_factory=lambda: defaultdict(deque))
    after: dict[str, deque[grpc.StatusCode]] = field(default_factory=lambda: defaultdict(deque))

    def refuse(self, method: str, *codes: grpc.StatusCode) -> None:
        """Let the next calls of a method fail and do nothing."""
        self.before[method].extend(codes)

    def lose_answer(self, method: str, *codes: grpc.StatusCode) -> None:
        """Let the next calls of a method do their work, and fail all the same."""
        self.after[method].extend(codes)

    def clear(self) -> None:
        self.before.clear()
        self.after.clear()


Servicer = TypeVar("Servicer")


def faulty(servicer: Servicer, faults: Faults) -> Servicer:
    """Answer the servicer with calls that fail as `faults` says."""
    return cast("Servicer", _Faulty(servicer, faults))


class _Faulty:
    def __init__(self, servicer: object, faults: Faults) -> None:
        self._servicer = servicer
        self._faults = faults

    def __getattr__(self, name: str) -> Callable[[Proto, Any], Awaitable[Proto]]:
        method = getattr(self._servicer, name)

        async def call(request: Proto, context: Any) -> Proto:
            _raise_next(self._faults.before[name])
            answer: Proto = await method(request, context)
            _raise_next(self._faults.after[name])
            return answer

        return call


def _raise_next(codes: deque[grpc.StatusCode]) -> None:
    if codes:
        raise DomainError(codes.popleft(), "SWITCHED_OFF", "switched off by the test")
