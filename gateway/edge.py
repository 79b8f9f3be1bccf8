"""The outermost layer, an ASGI application: request id, trace context, metrics and one log line for each request.

A log line tells the route's template and never the path, for a path may hold a phone.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import cache

import structlog
from prometheus_client import Counter, Gauge, Histogram

from gateway.exchange import Answer, Receive, Request, Scope, Send
from gateway.streaming import send_parts
from mesh import telemetry

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACE_HEADERS = ("traceparent", "tracestate")

log = telemetry.logger()

_in_flight = Gauge("http_server_in_flight", "Requests under way")
_handled = Counter("http_server_handled_total", "Requests finished", ["method", "route", "status"])
_seconds = Histogram(
    "http_server_handling_seconds",
    "Time from the request's head to the end of its answer",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

# Bounded by the methods and the routes that there are. Finding a child costs more than counting with it.
_handled_child = cache(_handled.labels)
_seconds_child = cache(_seconds.labels)


class Edge:
    """Wraps what answers requests; it never raises."""

    def __init__(self, answer: Callable[[Request], Awaitable[Answer]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_at = time.perf_counter()
        headers = dict(scope["headers"])
        request = Request(scope, receive, headers, _request_id(headers.get(b"x-request-id", b"")))
        # The server runs each request in a task, and so in a context, of its own: nothing has to be put back.
        telemetry.continue_trace(_trace_headers(headers))
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        answer = Answer(b"", status=0)
        _in_flight.inc()
        try:
            answer = await self._answer(request)
            await _send(send, answer, request)
        finally:
            _in_flight.dec()
            _report(request, answer, time.perf_counter() - started_at)


def _request_id(given: bytes) -> str:
    return given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _trace_headers(headers: dict[bytes, bytes]) -> dict[str, str]:
    if b"traceparent" not in headers:
        return {}
    # What is not ASCII could not travel on in gRPC metadata.
    given = {name: headers.get(name.encode(), b"") for name in _TRACE_HEADERS}
    return {name: value.decode() for name, value in given.items() if value and value.isascii()}


async def _send(send: Send, answer: Answer, request: Request) -> None:
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"x-request-id", request.request_id.encode()),
        *answer.headers,
    ]
    if answer.parts is not None:
        await send_parts(send, request, answer, headers)
        return
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _report(request: Request, answer: Answer, seconds: float) -> None:
    # A method of the caller's own making would be a new time series each.
    known_method = request.method if request.route else "other"
    _handled_child(known_method, request.route, answer.status).inc()
    _seconds_child(known_method, request.route).observe(seconds)
    log.info(
        "request",
        method=known_method,
        route=request.route,
        status=answer.status,
        duration_ms=round(seconds * 1000, 2),
        body_bytes=request.body_bytes,
        response_bytes=len(answer.body),
        key_id=request.key_id,
        user_id=request.user_id,
        brand_id=request.brand_id,
    )
