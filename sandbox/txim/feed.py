"""Telling the screen pages what changed, each within a bound of its own."""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sandbox.txim.journal import Message


class Change(NamedTuple):
    """An account that looks different now; `message` is the one that it got, None when something else changed."""

    account: str
    message: Message | None = None


class Subscription:
    """The changes that one page has not been told yet; a page that falls too far behind is given up."""

    def __init__(self, capacity: int) -> None:
        """Bound the changes waiting."""
        self._capacity = capacity
        self._waiting: deque[Change] = deque()
        self._filled = asyncio.Event()
        self.overrun = asyncio.Event()

    def push(self, change: Change) -> None:
        """Let a change wait; when there are too many, drop them all and set `overrun`."""
        if self.overrun.is_set():
            return
        if len(self._waiting) >= self._capacity:
            self._waiting.clear()
            self.overrun.set()
            return
        self._waiting.append(change)
        self._filled.set()

    async def take(self) -> list[Change]:
        """Wait until something changed, and return everything that did, oldest first."""
        await self._filled.wait()
        self._filled.clear()
        changes = list(self._waiting)
        self._waiting.clear()
        return changes


class Feed:
    """The pages that are open."""

    def __init__(self, subscriptions_max: int, changes_max: int) -> None:
        """Bound the pages, and the changes waiting for each of them."""
        self._subscriptions_max = subscriptions_max
        self._changes_max = changes_max
        self._subscriptions: set[Subscription] = set()
        self._run = secrets.token_hex(4)
        self._changes = 0
        self.overruns = 0

    def __len__(self) -> int:
        """Return how many pages are open."""
        return len(self._subscriptions)

    @property
    def version(self) -> str:
        """Name the present state: another one after each change, and after each start."""
        return f"{self._run}-{self._changes}"

    @property
    def is_full(self) -> bool:
        """Whether no more page can be served."""
        return len(self._subscriptions) >= self._subscriptions_max

    @contextmanager
    def subscribed(self) -> Iterator[Subscription]:
        """Serve one more page within the block."""
        subscription = Subscription(self._changes_max)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            self.overruns += subscription.overrun.is_set()

    def publish(self, change: Change) -> None:
        """Tell every page."""
        self._changes += 1
        for subscription in self._subscriptions:
            subscription.push(change)
