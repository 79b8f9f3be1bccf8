"""The outermost layer: request id, trace context, metrics and one log line for each request.

A log line tells the route's template and never the path, for a path may hold a phone.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh import telemetry

_SCOPE_KEY = "brandmesh.request"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = telemetry.logger()

_in_flight = Gauge("http_server_in_flight", "Requests under way")
_handled = Counter("http_server_handled_total", "Requests finished", ["method", "route", "status"])
_seconds = Histogram(
    "http_server_handling_seconds",
    "Time from the request's head to the end of its answer",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


@dataclass(slots=True)
class RequestRecord:
    """What is known of a request so far, for its log line and its problems."""

    request_id: str
    route: str = ""
    key_id: str = ""
    brand_id: int | None = None
    body_bytes: int = 0
    status: int = 0
    response_bytes: int = 0


def record_of(scope: Scope) -> RequestRecord:
    """The record of the request that `scope` belongs to."""
    record: RequestRecord = scope[_SCOPE_KEY]
    return record


class Edge:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        record = RequestRecord(_request_id(headers.get(b"x-request-id", b"")))
        scope[_SCOPE_KEY] = record
        with (
            _in_flight.track_inprogress(),
            telemetry.from_headers(_trace_headers(headers)),
            structlog.contextvars.bound_contextvars(request_id=record.request_id),
        ):
            await self._serve(scope, receive, send, record)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> None:
        started_at = time.perf_counter()

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", record.request_id.encode())]
            else:
                record.response_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_recorded)
        except Exception:
            # The answer was given where the exception was seen; here it is told once, with its trace.
            log.exception("request failed")
        finally:
            _report(scope["method"], record, time.perf_counter() - started_at)


def _request_id(given: bytes) -> str:
    return given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _trace_headers(headers: dict[bytes, bytes]) -> dict[str, str]:
    # What is not ASCII could not travel on in gRPC metadata.
    names = ("traceparent", "tracestate")
    given = {name: headers.get(name.encode(), b"") for name in names}
    return {name: value.decode() for name, value in given.items() if value and value.isascii()}


def _report(method: str, record: RequestRecord, seconds: float) -> None:
    # A method of the caller's own making would be a new time series each.
    known_method = method if record.route else "other"
    _handled.labels(known_method, record.route, record.status).inc()
    _seconds.labels(known_method, record.route).observe(seconds)
    log.info(
        "request",
        method=known_method,
        route=record.route,
        status=record.status,
        duration_ms=round(seconds * 1000, 2),
        body_bytes=record.body_bytes,
        response_bytes=record.response_bytes,
        key_id=record.key_id,
        brand_id=record.brand_id,
    )
