"""HTTP calls that the sandbox makes of its own accord; they never raise, a failure is a result."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import aiohttp
from yarl import URL

from sandbox.clock import now_ms
from sandbox.json_http import JsonObject
from sandbox.kept_connections import KeptConnections

ANSWER_BYTES_MAX = 200
# Acknowledgements are the same text over and over: one string serves the history of all messages.
_COMMON_ANSWERS = {b'{"clcode":"000000"}': '{"clcode":"000000"}'}


class Push(NamedTuple):
    """One attempt. `http_status` is 0 when no answer came; `answer` is then the reason."""

    at_ms: int
    http_status: int
    answer: str

    def says(self, key: str, value: str) -> bool:
        """Whether the answer is HTTP 200 with a JSON object that has this value under this key."""
        if self.http_status != HTTPStatus.OK:
            return False
        try:
            body: object = json.loads(self.answer)
        except ValueError:
            return False
        return isinstance(body, Mapping) and body.get(key) == value


class Pusher:
    """Makes the calls, over connections kept open."""

    def __init__(self, session: aiohttp.ClientSession, timeout_seconds: float) -> None:
        """Bound the time of one call."""
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._kept = KeptConnections(timeout_seconds, ANSWER_BYTES_MAX)

    async def get(self, url: str, query: str) -> Push:
        """GET an address with a further query; both are percent-encoded already."""
        at_ms = now_ms()
        try:
            answer = await self._kept.get(url, query)
        # ValueError: a host name that can be parsed and not be looked up.
        except (TimeoutError, OSError, ValueError) as error:
            return _failed(at_ms, error)
        return Push(at_ms, answer.status, _COMMON_ANSWERS.get(answer.body) or answer.body.decode(errors="replace"))

    async def post(self, url: str, body: JsonObject) -> Push:
        """POST a JSON object."""
        written = json.dumps(body, ensure_ascii=False).encode()
        return await self.post_bytes(url, written, {"Content-Type": "application/json"})

    async def post_bytes(self, url: str, body: bytes, headers: Mapping[str, str]) -> Push:
        """POST a body as it is."""
        at_ms = now_ms()
        try:
            async with self._session.post(
                URL(url, encoded=True),
                data=body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                answer = await response.content.read(ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return _failed(at_ms, error)
        return Push(at_ms, response.status, answer.decode(errors="replace"))

    def close(self) -> None:
        """Close the connections that are kept for later."""
        self._kept.close()


def _failed(at_ms: int, error: Exception) -> Push:
    return Push(at_ms, 0, f"{type(error).__name__}: {error}"[:ANSWER_BYTES_MAX])
