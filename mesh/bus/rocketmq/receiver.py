"""Receiving from all brokers of a queue, and what the index lets one expect."""

from __future__ import annotations

import asyncio
from itertools import count
from weakref import WeakValueDictionary

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
        """Take what is ready; wait a little where that is less than `expected`. Answers whether there is no more."""
        brokers = self._in_turn(list(await self._brokers.masters()))
        received: list[Incoming] = []
        for broker in brokers:
            received += await self._drain(topic, broker, messages_max - len(received), invisible_seconds)
        poll_seconds = EXPECTED_SECONDS_MAX / len(brokers)
        for broker in brokers:
            if len(received) >= min(expected, messages_max):
                break
            room = messages_max - len(received)
            received += await self._proxy.receive(topic, broker, room, invisible_seconds, poll_seconds)
        return received, len(received) < messages_max

    async def _drain(self, topic: str, broker: str, messages_max: int, invisible_seconds: int) -> list[Incoming]:
        received: list[Incoming] = []
        while len(received) < messages_max:
            wanted = min(RECEIVE_MAX, messages_max - len(received))
            batch = await self._proxy.receive(topic, broker, wanted, invisible_seconds, poll_seconds=0)
            received += batch
            if len(batch) < wanted:
                break
        return received

    def _in_turn(self, brokers: list[str]) -> list[str]:
        """Begin with another broker each time, so that none waits for the others' messages."""
        start = next(self._turns) % len(brokers)
        return brokers[start:] + brokers[:start]
