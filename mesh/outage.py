"""Telling that something is away, and waiting it out: with growing pauses, and two log lines instead of thousands."""

from __future__ import annotations

import asyncio

import grpc
from redis.exceptions import RedisError

from mesh import telemetry
from mesh.bus.port import BusUnavailableError
from mesh.errors import DomainError
from mesh.redis_connection import is_unavailable
from mesh.retry import full_jitter_seconds
from mesh.waiting import set_within

PAUSE_SECONDS_FIRST = 0.2
PAUSE_SECONDS_MAX = 5.0

_OUTAGE_CODES = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)

log = telemetry.logger(part="outage")


def is_outage(error: Exception) -> bool:
    """Tell "something that we need is away" from "this request cannot be served"."""
    if isinstance(error, DomainError):
        return error.code in _OUTAGE_CODES
    if isinstance(error, RedisError):
        return is_unavailable(error)
    return isinstance(error, (BusUnavailableError, OSError))  # a TimeoutError is an OSError


class Outage:
    """What one caller of a dependency knows of its absence."""

    def __init__(self, dependency: str) -> None:
        self._dependency = dependency
        self._failures = 0

    async def pause(self, error: Exception, stop: asyncio.Event) -> None:
        """Note a failure, and wait: longer the more there were, five seconds at most, and not once `stop` is set."""
        self._failures += 1
        if self._failures == 1:
            log.warning("away", dependency=self._dependency, error=str(error))
        await set_within(stop, full_jitter_seconds(self._failures, PAUSE_SECONDS_FIRST, 2.0, PAUSE_SECONDS_MAX))

    def end(self) -> None:
        """Note that the dependency answered."""
        if self._failures:
            log.warning("back", dependency=self._dependency, failures=self._failures)
            self._failures = 0
