"""Receiving from all brokers of a queue, and what the index lets one expect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from weakref import WeakValueDictionary

from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq.brokers import Brokers
from mesh.bus.rocketmq.proxy import RECEIVE_MAX, Incoming, Proxy

EXPECTED_SECONDS_MAX = 1.0
"""How long is waited for a message that should be there: a broker looks twice a second for what is to come again."""


class Receiver:
    """Takes messages from topics.

    One at a time from each: a broker that is giving one consumer messages of a topic tells others that there are none.
    """

    def __init__(self, proxy: Proxy, brokers: Brokers) -> None:
        self._proxy = proxy
        self._brokers = brokers
        self._turns = count()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def alone(self, topic: str) -> asyncio.Lock:
        """Answer the lock to hold while receiving from a topic."""
        return self._locks.setdefault(topic, asyncio.Lock())

    async def receive(
        self, topic: str, messages_max: int, invisible_seconds: int, expected: int
    ) -> tuple[list[Incoming], bool]:
        """Take what is ready; wait a little where that is less than `expected`. Answers whether there is no more.

        A broker that is away takes nothing from the others: raises BusUnavailableError where nothing came from them.
        """
        brokers = self._in_turn(list(await self._brokers.masters()))
        received: list[Incoming] = []
        failures: list[BusUnavailableError] = []
        rounds = (0.0, messages_max), (EXPECTED_SECONDS_MAX / len(brokers), min(expected, messages_max))
        for poll_seconds, enough in rounds:
            for broker in brokers:
                room = enough - len(received)
                try:
                    async for batch in self._batches(topic, broker, room, invisible_seconds, poll_seconds):
                        received += batch
                        self._brokers.avoided.trust(broker)
                except BusUnavailableError as failure:
                    self._brokers.avoided.add(broker)
                    failures.append(failure)
        if failures and not received:
            raise failures[0]
        return received, len(received) < messages_max and not failures

    async def _batches(
        self, topic: str, broker: str, messages_max: int, invisible_seconds: int, poll_seconds: float
    ) -> AsyncIterator[list[Incoming]]:
        """Take from one broker until it has no more."""
        left = messages_max
        while left > 0:
            wanted = min(RECEIVE_MAX, left)
            batch = await self._proxy.receive(topic, broker, wanted, invisible_seconds, poll_seconds)
            yield batch
            left = left - len(batch) if len(batch) == wanted else 0

    def _in_turn(self, brokers: list[str]) -> list[str]:
        """Begin with another broker each time, so that none waits for the others' messages."""
        start = next(self._turns) % len(brokers)
        return brokers[start:] + brokers[:start]
