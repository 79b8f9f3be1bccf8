"""Calling a channel over HTTP: bounded, never redirected, and told of in one kind of error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from order_rpc.payment.channels.port import ChannelError

ANSWER_BYTES_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a channel answered, with its headers by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    bytes_max: int = ANSWER_BYTES_MAX,
    timeout_seconds: float | None = None,
) -> HttpAnswer:
    """Make one call within the session's time, or another one. Raises ChannelError when there is no whole answer."""
    timeout = session.timeout if timeout_seconds is None else aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        # Redirects are answers like any other: what is signed for the channel goes nowhere else.
        async with session.request(
            method,
            URL(url, encoded=True),
            data=body or None,
            headers=headers,
            allow_redirects=False,
            timeout=timeout,
        ) as response:
            raw = await _read_bounded(response, bytes_max)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise ChannelError(f"no answer: {type(error).__name__}") from error
    return HttpAnswer(response.status, {name.lower(): value for name, value in response.headers.items()}, raw)


async def _read_bounded(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            raise ChannelError(f"the answer is over {bytes_max} bytes")
    return bytes(body)
