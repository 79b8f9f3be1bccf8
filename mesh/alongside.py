"""Running something beside a block of code, for as long as the block takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

_AGAIN_SECONDS = 0.5


@asynccontextmanager
async def alongside(companion: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `companion` until the block ends, then cancel it. If it failed and the block did not, raise its error."""
    task = asyncio.create_task(companion)
    try:
        yield
    finally:
        while not task.done():
            # More than once: a client may lose a cancellation that comes with its answer, as redis-py does, and
            # a companion that loops would go on for ever, and keep what it holds.
            task.cancel()
            await asyncio.wait([task], timeout=_AGAIN_SECONDS)
    if not task.cancelled():
        task.result()
