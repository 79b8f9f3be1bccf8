"""A brand's app that insists: as a real one, it repeats a request under its id until the answer is definite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from http import HTTPStatus

import aiohttp

from chaos.told import Told
from meshctl.app import App, Json

_AGAIN = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Answers that say nothing about the request but that it may be made again."""

_PAGE = "1000"
_PAUSE_SECONDS = 0.25
_TRY_SECONDS_MAX = 20.0
_INSIST_SECONDS_MAX = 180.0


class NotAcknowledgedError(Exception):
    """A request was refused, or got no definite answer. What it was is among what was told."""


class Customer:
    """Makes requests of one brand, and writes down what it is told."""

    def __init__(self, app: App, told: Told) -> None:
        self.app = app
        self.told = told

    @property
    def brand_id(self) -> int:
        """Whose app it is."""
        return self.app.brand_id

    async def insist(
        self, method: str, path: str, body: Json | None = None, *, may_refuse: Collection[str] = ()
    ) -> Json:
        """Repeat a request until it is acknowledged; answer its JSON.

        `may_refuse` are reasons of a refusal that an app has to expect. Raises NotAcknowledgedError.
        """
        deadline = asyncio.get_running_loop().time() + _INSIST_SECONDS_MAX
        while asyncio.get_running_loop().time() < deadline:
            status, answer = await self._try(method, path, body)
            if status == HTTPStatus.OK:
                return answer
            if status and status not in _AGAIN:
                self._note_refusal(f"{method} {path}: {status} {answer}", str(answer.get("reason", "")), may_refuse)
                raise NotAcknowledgedError
            await asyncio.sleep(_PAUSE_SECONDS)
        self.told.unanswered.append(f"{method} {path} {(body or {}).get('requestId', '')}".rstrip())
        raise NotAcknowledgedError

    async def pages(self, path: str, field: str) -> AsyncIterator[Json]:
        """Read all pages of a list of the brand. Raises RefusedError."""
        token = ""
        while True:
            page = await self.app.ok("GET", path, None, pageSize=_PAGE, pageToken=token)
            for one in page[field]:
                yield one
            token = page["nextPageToken"]
            if not token:
                return

    def _note_refusal(self, text: str, reason: str, may_refuse: Collection[str]) -> None:
        if reason in may_refuse:
            self.told.expected_refusals[reason] += 1
        else:
            self.told.refusals.append(text)

    async def _try(self, method: str, path: str, body: Json | None) -> tuple[int, Json]:
        try:
            async with asyncio.timeout(_TRY_SECONDS_MAX):
                status, answer = await self.app.call(method, path, body)
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.told.tries["none"] += 1
            return 0, {}
        self.told.tries[str(status)] += 1
        return status, answer
