"""One subscription that tells sleepers to look, for work that is kept elsewhere.

Redis pub/sub may lose messages, so nothing here is the truth: whoever waits also looks by itself now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh import telemetry
from mesh.ending import end

RECONNECT_SECONDS = 1.0
_POLL_SECONDS = 30.0

log = telemetry.logger(part="wake")


class WakeChannel:
    """Calls `on_wake(payload)` for each message of a channel, in a task of its own.

    `on_wake(None)` says that messages may have been missed: when the subscription begins, and each time it begins anew.
    """

    def __init__(self, redis: Redis, channel: str, on_wake: Callable[[str | None], None]) -> None:
        self._redis = redis
        self._channel = channel
        self._on_wake = on_wake
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen from now on. Does nothing when it does already; raises what ended it if something did."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name=f"wake {self._channel}")
        elif self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            await end(self._task)

    async def _listen(self) -> None:
        while True:
            try:
                await self._subscribed()
            except RedisError as error:
                log.info("wake channel lost", channel=self._channel, error=str(error))
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _subscribed(self) -> None:
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            while True:
                message = await subscription.get_message(timeout=_POLL_SECONDS)
                if message is not None:
                    is_news = message["type"] == "message"
                    self._on_wake(message["data"].decode() if is_news else None)
