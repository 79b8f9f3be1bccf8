"""One clock for all who use a deployment: that of its Redis.

When a message is due, until when it is hidden and how old it is are times that one process writes and another reads. By
their own clocks, which may be an hour apart, a message would come an hour late, or count as held long after it is not.
"""

from __future__ import annotations

import asyncio
import time

from redis.asyncio import Redis

from mesh.bus.redis_errors import unavailable

ASK_SECONDS = 30.0
"""Redis is asked this often; in between, time passes as it does here, which differs by less than a millisecond."""


class SharedClock:
    """Tells Redis's time."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._asking = asyncio.Lock()
        self._ahead_ms = 0.0
        self._asked_at_seconds: float | None = None

    async def now_ms(self) -> int:
        """Answer milliseconds since 1970 UTC. Raises BusUnavailableError when Redis has to be asked and is away."""
        if self._is_stale():
            async with self._asking:
                if self._is_stale():
                    await self._ask()
        return round(time.monotonic() * 1000 + self._ahead_ms)

    def _is_stale(self) -> bool:
        return self._asked_at_seconds is None or time.monotonic() - self._asked_at_seconds > ASK_SECONDS

    async def _ask(self) -> None:
        before = time.monotonic()
        with unavailable():
            seconds, microseconds = await self._redis.time()
        after = time.monotonic()
        self._ahead_ms = seconds * 1000 + microseconds / 1000 - (before + after) / 2 * 1000
        self._asked_at_seconds = after
