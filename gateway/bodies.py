"""Reading a request's body within its bounds."""

from __future__ import annotations

import asyncio

from gateway.exchange import BODY_IS_COMPLETE, JSON_MEDIA_TYPE, Request
from gateway.limits import Hold
from gateway.refusals import body_timeout, body_too_large, content_type_not_json


class ClientGoneError(Exception):
    """The caller closed the connection before its request was complete. Nobody hears an answer."""


async def read_body(request: Request, *, bytes_max: int, seconds_max: float, memory: Hold | None = None) -> bytes:
    """Read a body of at most `bytes_max`, within `seconds_max`, counting it against `memory`.

    Raises BODY_TOO_LARGE before reading when Content-Length says so already, BODY_TIMEOUT, OVERLOADED, or
    ClientGoneError.
    """
    declared = request.headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > bytes_max:
        raise body_too_large(bytes_max)
    if BODY_IS_COMPLETE in request.scope:
        # Nothing to wait for, as with nearly every request: a timer would cost more than the reading.
        return await _read(request, bytes_max, memory)
    try:
        async with asyncio.timeout(seconds_max):
            return await _read(request, bytes_max, memory)
    except TimeoutError:
        raise body_timeout(seconds_max) from None


async def _read(request: Request, bytes_max: int, memory: Hold | None) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise body_too_large(bytes_max)
        if memory is not None:
            memory.add(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def require_json(request: Request) -> None:
    """Refuse a body that is not plain JSON. Raises CONTENT_TYPE_NOT_JSON."""
    media_type = request.header(b"content-type").partition(";")[0].strip().lower()
    if media_type != JSON_MEDIA_TYPE or request.header(b"content-encoding", "identity").lower() != "identity":
        raise content_type_not_json()
