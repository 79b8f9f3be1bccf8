"""Running something beside a block of code, for as long as the block takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

from mesh.ending import end


@asynccontextmanager
async def alongside(companion: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `companion` until the block ends, then cancel it. If it failed and the block did not, raise its error."""
    task = asyncio.create_task(companion)
    try:
        yield
    finally:
        await end(task)
    if not task.cancelled():
        task.result()
