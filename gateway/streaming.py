"""Answers that come bit by bit, for as long as their caller listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from gateway.exchange import FLUSH, Answer, Receive, Request, Send
from mesh.ending import end


async def send_parts(send: Send, request: Request, answer: Answer, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Send an answer's body, and then each of its parts as it comes, until the last or until the caller has gone.

    Does nothing for an answer without parts.
    """
    parts = answer.parts
    if parts is None:
        return
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await _send_part(send, request, answer.body)
        await _send_while_heard(send, request, parts)
        await send({"type": "http.response.body", "body": b""})
    finally:
        await parts.aclose()


async def _send_while_heard(send: Send, request: Request, parts: AsyncGenerator[bytes, None]) -> None:
    gone = asyncio.create_task(_until_gone(request.receive))
    try:
        while True:
            following: asyncio.Task[Any] = asyncio.create_task(_next(parts))
            await asyncio.wait({following, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                await end(following)
                return
            part = following.result()
            if part is None:
                return
            await _send_part(send, request, part)
    finally:
        await end(gone)


async def _send_part(send: Send, request: Request, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})
    flush: Callable[[], None] | None = request.scope.get(FLUSH)
    if flush is not None:
        flush()


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes | None:
    """Answer the next part; None at the end."""
    return await anext(parts, None)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
