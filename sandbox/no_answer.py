"""Calls that get no answer: the connection ends, at once or after a long wait."""

import asyncio
import contextlib

from aiohttp import web


class Waiting:
    """Keeps callers waiting, but not beyond the stop of the sandbox. A caller that goes away cancels the wait."""

    def __init__(self, stopping: asyncio.Event, hang_seconds_max: float) -> None:
        """Take the event that ends all waits, and the time after which a caller who gets no answer is given up."""
        self._stopping = stopping
        self._hang_seconds_max = hang_seconds_max

    async def pause(self, seconds: float) -> None:
        """Wait this long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def hang(self, request: web.Request) -> web.Response:
        """Never answer."""
        await self.pause(self._hang_seconds_max)
        return close(request)


def close(request: web.Request) -> web.Response:
    """End the connection; the response returned here can no longer be written to it."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
