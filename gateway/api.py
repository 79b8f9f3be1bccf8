"""The transcoded operations: from a request's head and body to an rpc, and its answer back.

What is cheap and can refuse comes first: path, places, key or token, rate, scope, brand, user. Only then is the body
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.admission import Callers, Gate
from gateway.bodies import read_body, require_json
from gateway.calls import Call
from gateway.exchange import Answer, Endpoint, Request
from gateway.keys.domain import ApiKey
from gateway.limits import Budget
from gateway.transcoding.binding import RequestBinder
from gateway.transcoding.json_decoding import Fields
from gateway.transcoding.json_encoding import response_encoder
from gateway.transcoding.routes import Route

LARGE_BODY_BYTES = 1 << 20
"""A body from here on gets the longer time-out."""

_THREAD_BODY_BYTES = 256 << 10
"""A body from here on is read in a thread: the loop goes on with other requests between its steps."""

_HEADERS = ((b"cache-control", b"no-store"),)


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bounds of one body."""

    bytes_max: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Bounds of one request.

    Who has no API key has a body of its own bounds: else anybody could hold all places, and all memory for bodies.
    """

    body: BodyLimits
    body_without_key: BodyLimits
    timeout_seconds: float
    large_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """What all operations share: who may ask, and how much."""

    callers: Callers
    places: Budget
    memory: Budget
    limits: ApiLimits


class Operation:
    """One route, compiled: how its request is read, who is called, how the answer is written."""

    def __init__(self, route: Route, call: Call, access: ApiAccess) -> None:
        """Raises ContractError."""
        self._gate = Gate(route, access.callers)
        self._call = call
        self._access = access
        self._limits = access.limits
        self._binder = RequestBinder(route)
        self._encode = response_encoder(route.method.output_type, route.rpc)
        self.endpoint = Endpoint(route.http_method, route.template, self.handle)

    async def handle(self, request: Request, values: Sequence[str]) -> Answer:
        """Answer one request. Raises ProblemError and DomainError."""
        with self._access.places.hold(1):
            caller = await self._gate.identify(request)
            path_fields = self._binder.bind_path(values)
            request.brand_id = self._gate.admit(caller, path_fields)
            bounds = self._limits.body if isinstance(caller, ApiKey) else self._limits.body_without_key
            with self._access.memory.hold() as memory:
                body = await read_body(
                    request, bytes_max=bounds.bytes_max, seconds_max=bounds.timeout_seconds, memory=memory
                )
                request.body_bytes = len(body)
                if body:
                    require_json(request)
                return await self._ask(path_fields, request.query_string, body)

    async def _ask(self, path_fields: Fields, query_string: bytes, body: bytes) -> Answer:
        if len(body) < _THREAD_BODY_BYTES:
            message = self._binder.bind(path_fields, query_string, body)
        else:
            message = await asyncio.to_thread(self._binder.bind, path_fields, query_string, body)
        large = len(body) >= LARGE_BODY_BYTES
        seconds = self._limits.large_timeout_seconds if large else self._limits.timeout_seconds
        return Answer(self._encode(await self._call(message, seconds)), headers=_HEADERS)
