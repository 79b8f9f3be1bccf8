"""What happens around every unary call of a server, in this order: context, errors, metrics, deadline, validation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
import protovalidate
import structlog
from google.protobuf.message import Message
from grpc import aio
from grpc_status import rpc_status
from prometheus_client import Counter, Histogram

from mesh import telemetry
from mesh.errors import NO_REPEAT, DomainError, FieldViolation, invalid_request, to_status

log = telemetry.logger()

_handled = Counter("grpc_server_handled_total", "Calls finished", ["method", "code"])
_seconds = Histogram(
    "grpc_server_handling_seconds",
    "Time from the call to its answer",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_validator = protovalidate.Validator()


Context = aio.ServicerContext[Message, Message]
Behavior = Callable[[Message, Context], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Call:
    """One unary call under way."""

    method: str
    request: Message
    context: Context
    timeout_seconds_default: float


Next = Callable[[Call], Awaitable[Message]]
Middleware = Callable[[Call, Next], Awaitable[Message]]


async def with_context(call: Call, proceed: Next) -> Message:
    """Carry the caller's trace, and name the rpc on each log line."""
    metadata = {key: value for key, value in call.context.invocation_metadata() or () if isinstance(value, str)}
    with telemetry.from_headers(metadata), structlog.contextvars.bound_contextvars(rpc=call.method):
        return await proceed(call)


async def with_metrics(call: Call, proceed: Next) -> Message:
    """Count calls by method and code, and time them."""
    started_at = time.perf_counter()
    code = grpc.StatusCode.OK
    try:
        return await proceed(call)
    except DomainError as error:
        code = error.code
        raise
    except asyncio.CancelledError:
        code = grpc.StatusCode.CANCELLED
        raise
    except Exception:
        code = grpc.StatusCode.INTERNAL
        raise
    finally:
        _handled.labels(call.method, code.name).inc()
        _seconds.labels(call.method).observe(time.perf_counter() - started_at)


async def with_errors(call: Call, proceed: Next) -> Message:
    """Answer a DomainError as its status. Anything else is a defect: logged here, and told without its insides."""
    try:
        return await proceed(call)
    except DomainError as error:
        refusal = error
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("call failed")
        refusal = DomainError(
            grpc.StatusCode.INTERNAL, "INTERNAL", "something went wrong here; the same request may be tried again"
        )
    status = rpc_status.to_status(to_status(refusal))
    metadata = (*status.trailing_metadata, NO_REPEAT) if refusal.is_tried_out else status.trailing_metadata
    await call.context.abort(status.code, status.details, metadata)
    raise AssertionError("abort raises")


async def with_deadline(call: Call, proceed: Next) -> Message:
    """Stop working when the caller has stopped waiting; a caller without a deadline gets the server's."""
    remaining_seconds = call.context.time_remaining()
    if remaining_seconds is None:
        remaining_seconds = call.timeout_seconds_default
    try:
        async with asyncio.timeout(remaining_seconds):
            return await proceed(call)
    except TimeoutError:
        raise DomainError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
            "not done in time; whether it happened is not known, repeat with the same request_id",
        ) from None


async def with_validation(call: Call, proceed: Next) -> Message:
    """Refuse a request that breaks the rules of its contract."""
    validate(call.request)
    return await proceed(call)


MIDDLEWARE: Sequence[Middleware] = (with_context, with_errors, with_metrics, with_deadline, with_validation)


def validate(request: Message) -> None:
    """Check a message against the protovalidate rules of its contract. Raises INVALID_REQUEST with each field."""
    violations = _validator.collect_violations(request)
    if violations:
        raise invalid_request(*(FieldViolation(_path(violation), violation.proto.message) for violation in violations))


def _path(violation: protovalidate.Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript and element.subscript.field in {"index", "string_key", "int_key"}:
            path += f"[{element.subscript.value}]"
    return path


class MiddlewareInterceptor(aio.ServerInterceptor):
    """Puts the middleware around each unary method; streams (health watch, reflection) pass as they are."""

    def __init__(self, middleware: Sequence[Middleware], timeout_seconds_default: float) -> None:
        self._middleware = middleware
        self._timeout_seconds_default = timeout_seconds_default
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method
        if method in self._handlers:
            return cast("grpc.RpcMethodHandler[Any, Any]", self._handlers[method])
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        self._handlers[method] = grpc.unary_unary_rpc_method_handler(
            self._wrap(method, cast("Behavior", handler.unary_unary)),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return cast("grpc.RpcMethodHandler[Any, Any]", self._handlers[method])

    def _wrap(self, method: str, behavior: Behavior) -> Any:  # grpc's stubs know only the synchronous shape
        async def innermost(call: Call) -> Message:
            return await behavior(call.request, call.context)

        chain: Next = innermost
        for middleware in reversed(self._middleware):
            chain = _around(middleware, chain)

        async def handle(request: Message, context: Context) -> Message:
            return await chain(Call(method, request, context, self._timeout_seconds_default))

        return handle


def _around(middleware: Middleware, proceed: Next) -> Next:
    async def step(call: Call) -> Message:
        return await middleware(call, proceed)

    return step
