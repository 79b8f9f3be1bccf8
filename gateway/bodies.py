"""Reading a request's body within its bounds."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Receive

from gateway.limits import Hold
from gateway.refusals import body_timeout, body_too_large, content_type_not_json

JSON_MEDIA_TYPE = "application/json"


class ClientGoneError(Exception):
    """The caller closed the connection before its request was complete. Nobody hears an answer."""


async def read_body(
    headers: Headers, receive: Receive, *, bytes_max: int, seconds_max: float, memory: Hold | None = None
) -> bytes:
    """Read a body of at most `bytes_max`, within `seconds_max`, counting it against `memory`.

    Raises BODY_TOO_LARGE before reading when Content-Length says so already, BODY_TIMEOUT, OVERLOADED, or
    ClientGoneError.
    """
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > bytes_max:
        raise body_too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds_max):
            while True:
                message = await receive()
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
    except TimeoutError:
        raise body_timeout(seconds_max) from None


def require_json(headers: Headers) -> None:
    """Refuse a body that is not plain JSON. Raises CONTENT_TYPE_NOT_JSON."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON_MEDIA_TYPE or headers.get("content-encoding", "identity").lower() != "identity":
        raise content_type_not_json()
