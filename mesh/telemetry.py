"""Logs, trace context and the metrics port: the same in every process.

Spans are recorded only where an OpenTelemetry SDK is configured; the context (`traceparent`) travels through gRPC and
through queue messages always, so that one id finds an SMS in the logs of every process.
"""

from __future__ import annotations

import json
import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import prometheus_client
import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

    from mesh.settings import ProcessSettings

_propagator = TraceContextTextMapPropagator()

# Ids that name a trace are no secrets, and the operating system's source would cost a call for each request.
_random = random.Random()  # noqa: S311


def start(settings: ProcessSettings, service: str) -> None:
    """Set up logging and the metrics port. Called once, before anything else runs."""
    configure_logging(settings.log_format, settings.log_level, service)
    if settings.metrics_port:
        prometheus_client.start_http_server(settings.metrics_port, settings.metrics_host)


def configure_logging(log_format: str, log_level: str, service: str) -> None:
    """Write structlog's and the standard library's log lines to standard error, one a line."""

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_service,
        _add_trace_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer(_to_json)
    level = logging.getLevelNamesMapping()[log_level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


def _to_json(event: EventDict, default: Callable[[object], object]) -> str:
    try:
        return orjson.dumps(event, default).decode()
    except TypeError:
        # What orjson does not take: text that is no Unicode, integers of more than 64 bits. A line is never lost.
        return json.dumps(event, default=default, skipkeys=True)


def _add_trace_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
    return event


def inject_headers() -> dict[str, str]:
    """Write the present trace context into headers that travel with a call or a message."""
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    return headers


@contextmanager
def from_headers(headers: Mapping[str, str]) -> Iterator[None]:
    """Work in the trace context that `headers` carry; in a new one where they carry none."""
    token = otel_context.attach(_trace_of(headers))
    try:
        yield
    finally:
        otel_context.detach(token)


def continue_trace(headers: Mapping[str, str]) -> None:
    """Work in that trace context for the rest of this task, which is about one request and nothing else."""
    otel_context.attach(_trace_of(headers))


def _trace_of(headers: Mapping[str, str]) -> Context:
    if "traceparent" in headers:
        context = _propagator.extract(headers)
        if trace.get_current_span(context).get_span_context().is_valid:
            return context
    return trace.set_span_in_context(trace.NonRecordingSpan(_new_span_context()))


def _new_span_context() -> trace.SpanContext:
    return trace.SpanContext(
        trace_id=_random.getrandbits(128) or 1,
        span_id=_random.getrandbits(64) or 1,
        is_remote=False,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )


def logger(**bound: Any) -> structlog.typing.FilteringBoundLogger:
    """Answer a logger with `bound` on each of its lines."""
    return structlog.get_logger(**bound)  # type: ignore[no-any-return]  # structlog declares Any
