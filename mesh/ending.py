"""Ending tasks that may not hear it the first time."""

from __future__ import annotations

import asyncio
from typing import Any

_PATIENCE_SECONDS = 0.5


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel `tasks` until all are done, and take no notice of what they ended with.

    More than once: redis-py loses a cancellation that reaches it while it connects or with its answer, and a task that
    loops would go on for ever. Whoever is cancelled while it waits here ends them first, and then itself.
    """
    cancelled: asyncio.CancelledError | None = None
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=_PATIENCE_SECONDS)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
