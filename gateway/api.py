"""The transcoded operations: from a request's head and body to an rpc, and its answer back.

What is cheap and can refuse comes first: path, places, key, rate, scope, brand. Only then is the body read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.bodies import JSON_MEDIA_TYPE, read_body, require_json
from gateway.calls import Call
from gateway.edge import record_of
from gateway.keys.domain import ApiKey
from gateway.keys.ring import KeyRing
from gateway.limits import Budget, TokenBuckets
from gateway.refusals import brand_not_allowed, method_not_allowed, path_malformed, route_not_found, scope_missing
from gateway.transcoding.binding import RequestBinder
from gateway.transcoding.json_decoding import Fields
from gateway.transcoding.json_encoding import response_encoder
from gateway.transcoding.routes import Route, RouteTable

LARGE_BODY_BYTES = 1 << 20
"""A body from here on gets the longer time-out."""

_THREAD_BODY_BYTES = 256 << 10
"""A body from here on is read in a thread: the loop goes on with other requests between its steps."""


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Bounds of one request."""

    body_bytes_max: int
    body_timeout_seconds: float
    timeout_seconds: float
    large_timeout_seconds: float


class Operation:
    """One route, compiled: how its request is read, who is called, how the answer is written."""

    def __init__(self, route: Route, call: Call) -> None:
        """Raises ContractError."""
        self.route = route
        self.call = call
        self.binder = RequestBinder(route)
        self.encode = response_encoder(route.method.output_type, route.rpc)


class Api:
    """An ASGI application that answers every path of the contracts, and ROUTE_NOT_FOUND elsewhere."""

    def __init__(
        self,
        table: RouteTable,
        calls: Mapping[str, Call],
        *,
        keys: KeyRing,
        buckets: TokenBuckets,
        places: Budget,
        memory: Budget,
        limits: ApiLimits,
    ) -> None:
        """`calls` has one entry for each route, by the rpc's full name. Raises ContractError."""
        self._table = table
        self._operations = {route.rpc: Operation(route, calls[route.rpc]) for route in table.routes}
        self._keys = keys
        self._buckets = buckets
        self._places = places
        self._memory = memory
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation, values = self._find(scope)
        record_of(scope).route = operation.route.template.text
        with self._places.hold(1):
            response = await self._answer(operation, values, scope, receive)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[Operation, tuple[str, ...]]:
        try:
            match = self._table.match(scope["raw_path"])
        except UnicodeDecodeError:
            raise path_malformed() from None
        if match is None:
            raise route_not_found()
        method = scope["method"]
        # The server writes no body in answer to HEAD.
        route = match.targets.get("GET" if method == "HEAD" else method)
        if route is None:
            raise method_not_allowed(method, match.targets)
        return self._operations[route.rpc], match.values

    async def _answer(self, operation: Operation, values: tuple[str, ...], scope: Scope, receive: Receive) -> Response:
        record = record_of(scope)
        headers = Headers(scope=scope)
        key = await self._keys.authenticate(headers.getlist("authorization"))
        record.key_id = key.key_id
        self._buckets.take(key.key_id)
        path_fields = operation.binder.bind_path(values)
        record.brand_id = _authorize(key, operation.route, path_fields)
        with self._memory.hold() as memory:
            body = await read_body(
                headers,
                receive,
                bytes_max=self._limits.body_bytes_max,
                seconds_max=self._limits.body_timeout_seconds,
                memory=memory,
            )
            record.body_bytes = len(body)
            if body:
                require_json(headers)
            return await self._call(operation, path_fields, scope["query_string"], body)

    async def _call(self, operation: Operation, path_fields: Fields, query_string: bytes, body: bytes) -> Response:
        if len(body) < _THREAD_BODY_BYTES:
            request = operation.binder.bind(path_fields, query_string, body)
        else:
            request = await asyncio.to_thread(operation.binder.bind, path_fields, query_string, body)
        large = len(body) >= LARGE_BODY_BYTES
        seconds = self._limits.large_timeout_seconds if large else self._limits.timeout_seconds
        answer = await operation.call(request, seconds)
        return Response(operation.encode(answer), headers={"cache-control": "no-store"}, media_type=JSON_MEDIA_TYPE)


def _authorize(key: ApiKey, route: Route, path_fields: Fields) -> int | None:
    """Check what the key may do; answer the brand that the request is about. Raises a ProblemError."""
    if route.scope not in key.scopes:
        raise scope_missing(route.scope)
    brand_id = path_fields.get(route.brand_field or "")
    if not isinstance(brand_id, int):
        return None
    if not key.may_use_brand(brand_id):
        raise brand_not_allowed(brand_id)
    return brand_id
