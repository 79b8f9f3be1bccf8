"""Pushing for many callers at once: one call to Redis carries what came while the one before was under way."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.coalesce import Coalescer
from mesh.inbox.inbox import Inbox

BATCH_MAX = 256
PENDING_MAX = 8192


class JointPushes:
    """Pushes items of many callers, who each hear when theirs is kept. Items of one call share a list of the inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._coalescer: Coalescer[bytes, None] = Coalescer(
            self._push_all, name=f"the way to inbox {inbox.name}", batch_max=BATCH_MAX, pending_max=PENDING_MAX
        )

    async def push(self, body: bytes) -> None:
        """Keep one item. Raises `DomainError` as `Inbox.push` does, and OVERLOADED when too many wait already."""
        await self._coalescer.submit(body)

    async def close(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._coalescer.close()

    async def _push_all(self, bodies: Sequence[bytes]) -> Sequence[None]:
        await self._inbox.push(*bodies)
        return [None] * len(bodies)
