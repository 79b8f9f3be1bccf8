"""One HTTP call whose failure says whether the other side may have acted on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from yarl import URL

ANSWER_BYTES_MAX = 1 << 20


class CallFailedError(Exception):
    """A call without a readable answer. The text names the error's kind, never what was sent."""


class NotSentError(CallFailedError):
    """Nothing of the body left this process: the call may be made again."""


class AnswerLostError(CallFailedError):
    """The body, or a part of it, was written: the other side may have acted on it."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer whose body was read whole."""

    status: int
    body: bytes


class _TracedBody(aiohttp.BytesPayload):
    """A body that notes when its writing begins. Before that, aiohttp holds the headers back too.

    The exceptions alone do not tell: a time-out, for one, is the same before and after the connection stands. Traces
    would, at 10 microseconds a call more.
    """

    begun = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.begun = True
        await super().write_with_length(writer, content_length)


class HttpCaller:
    """Posts JSON over the connections of one session, which the caller of this class owns."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: URL, body: bytes) -> HttpAnswer:
        """Post a JSON body. Redirects are answers like any other: a body with a password follows nobody.

        Raises:
            NotSentError: no connection was to be had.
            AnswerLostError: the connection broke, or the time ran out, or the answer is over 1 MiB.

        """
        payload = _TracedBody(body, content_type="application/json; charset=utf-8")
        try:
            async with self._session.post(url, data=payload, allow_redirects=False) as response:
                return HttpAnswer(response.status, await _read_bounded(response))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = AnswerLostError if payload.begun else NotSentError
            raise failure(type(error).__name__) from error


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            message = f"answer over {ANSWER_BYTES_MAX} bytes"
            raise AnswerLostError(message)
    return bytes(body)
