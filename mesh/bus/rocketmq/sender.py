"""Sending with patience: in batches, a few at once, again after a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq.errors import TopicMissingError
from mesh.bus.rocketmq.proxy import Outgoing, Proxy
from mesh.retry import full_jitter_seconds

SENDS_MAX = 16
"""Requests under way at once."""

ATTEMPTS_MAX = 3
BATCH_MESSAGES_MAX = 100
BATCH_BYTES_MAX = 1024 * 1024

_PAUSE_SECONDS_FIRST = 0.1
_PAUSE_SECONDS_MAX = 1.0


class Sender:
    """Sends through one proxy. What is sent again after an answer was lost may arrive twice."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._turns = asyncio.Semaphore(SENDS_MAX)

    async def send(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Send messages, in order as far as they have no time of delivery. Raises BusUnavailableError."""
        await self._at_once(topic, [[one] for one in messages if one.deliver_at_ms is not None])
        for batch in _batches([one for one in messages if one.deliver_at_ms is None]):
            await self._send(topic, batch)

    async def _at_once(self, topic: str, batches: Sequence[Sequence[Outgoing]]) -> None:
        """Send each batch, several at once; when some fail, after all have been tried."""
        outcomes = await asyncio.gather(*(self._send(topic, batch) for batch in batches), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _send(self, topic: str, batch: Sequence[Outgoing]) -> None:
        async with self._turns:
            for attempt in range(1, ATTEMPTS_MAX):
                try:
                    return await self._proxy.send(topic, batch)
                except TopicMissingError:
                    raise
                except BusUnavailableError:
                    await asyncio.sleep(full_jitter_seconds(attempt, _PAUSE_SECONDS_FIRST, 2.0, _PAUSE_SECONDS_MAX))
            return await self._proxy.send(topic, batch)


def _batches(messages: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    batch: list[Outgoing] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == BATCH_MESSAGES_MAX or size + len(message.body) > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message.body)
    if batch:
        yield batch
