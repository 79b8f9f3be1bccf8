"""Ending a task that may not hear it the first time."""

from __future__ import annotations

import asyncio

_PATIENCE_SECONDS = 0.1


async def end(task: asyncio.Task[None]) -> None:
    """Cancel `task` until it is done, and take no notice of what it ended with.

    redis-py swallows a cancellation that reaches it while it connects, and goes on.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE_SECONDS)
