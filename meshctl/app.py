"""A brand's app: what calls the gateway with one brand's key."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

Json = dict[str, Any]


class RefusedError(Exception):
    """The gateway answered a problem document."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(f"refused with {status}: {json.dumps(problem, ensure_ascii=False)}")
        self.status = status
        self.problem = problem


@dataclass(slots=True)
class App:
    """Calls paths below `/v1/brands/{brand_id}` over a session that its maker owns."""

    session: aiohttp.ClientSession
    gateway_url: str
    brand_id: int
    api_key: str

    async def call(self, method: str, path: str, body: Json | None = None, **parameters: str) -> tuple[int, Json]:
        """Call a path of this brand; answer status and JSON."""
        url = f"{self.gateway_url}/v1/brands/{self.brand_id}{path}"
        headers = {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"}
        # A stream, because aiohttp warns of large bodies in one piece.
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        async with self.session.request(method, url, data=data, params=parameters, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def ok(self, method: str, path: str, body: Json | None = None, **parameters: str) -> Json:
        """Call, and answer the JSON. Raises RefusedError for anything but 200."""
        status, answer = await self.call(method, path, body, **parameters)
        if status != HTTPStatus.OK:
            raise RefusedError(status, answer)
        return answer
