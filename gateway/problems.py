"""Errors as a caller of the REST interface sees them: RFC 9457, `application/problem+json`.

Besides the members of the RFC a problem has `reason` (UPPER_SNAKE, stable, what a program branches on), `requestId`,
and where they apply `metadata` (figures such as `available`) and `violations` (field by field, in JSON names).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
import orjson

from gateway.exchange import Answer
from mesh.errors import DomainError, FieldViolation

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "/docs/errors/"

_RETRY_AFTER_SECONDS_DEFAULT = 1.0

STATUS_OF_CODE: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.DATA_LOSS: 500,
}
"""The HTTP status of each gRPC code, where its reason has none of its own."""

STATUS_OF_REASON: Mapping[str, int] = {"INSUFFICIENT_CREDIT": 402}
"""Reasons whose HTTP status says more than their gRPC code's."""

_UNTOLD_DETAILS = {
    grpc.StatusCode.UNAVAILABLE: "a service behind this gateway is away; repeat with the same requestId field",
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "not done in time; whether it happened is not known, repeat with the same requestId field"
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: "a service behind this gateway is full, or the message is too large for it",
    grpc.StatusCode.UNIMPLEMENTED: "the service behind this gateway does not know this operation",
}
_UNTOLD_DETAIL = "something went wrong behind this gateway; the same request may be tried again"

_DEFECTS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS}

_PROTO_WORD = re.compile(r"\[[^\]]*\]|_([a-z0-9])")


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal, as it is told over HTTP."""

    status: int
    reason: str
    detail: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[FieldViolation] = ()
    retry_after_seconds: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ProblemError(Exception):
    """A refusal of the HTTP layer itself, for which gRPC has no code."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.reason}: {problem.detail}")
        self.problem = problem


def title_of(reason: str) -> str:
    """The reason in words: INSUFFICIENT_CREDIT is `Insufficient credit`."""
    return reason.replace("_", " ").capitalize()


def json_path(proto_path: str) -> str:
    """A field path in JSON names: `recipients[3].phone_number` is `recipients[3].phoneNumber`."""
    return _PROTO_WORD.sub(lambda match: match[1].upper() if match[1] else match[0], proto_path)


def from_domain_error(error: DomainError) -> Problem:
    """Say over HTTP what a service refused.

    A status that no service of ours worded (its reason is its code) may tell addresses and insides, so its message is
    replaced; so is that of a defect.
    """
    retry_after_seconds = error.retry_after_seconds
    if retry_after_seconds is None and error.code in {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }:
        retry_after_seconds = _RETRY_AFTER_SECONDS_DEFAULT
    violations = [FieldViolation(json_path(found.field), found.description) for found in error.violations]
    return Problem(
        status=STATUS_OF_REASON.get(error.reason) or STATUS_OF_CODE.get(error.code, 500),
        reason=error.reason,
        detail=_detail(error, violations),
        metadata=error.metadata,
        violations=violations,
        retry_after_seconds=retry_after_seconds,
    )


def _detail(error: DomainError, violations: Sequence[FieldViolation]) -> str:
    if error.reason == error.code.name or error.code in _DEFECTS:
        return _UNTOLD_DETAILS.get(error.code, _UNTOLD_DETAIL)
    if violations:
        # The service worded its message with proto names.
        return "; ".join(f"{found.field}: {found.description}".removeprefix(": ") for found in violations[:3])
    return error.message


def internal_problem() -> Problem:
    """What is told of a defect in the gateway itself."""
    return Problem(500, "INTERNAL", "something went wrong here; the same request may be tried again")


def render(problem: Problem, instance: str, request_id: str) -> Answer:
    """Write a problem as an answer. `instance` is the path of the request."""
    document: dict[str, object] = {
        "type": TYPE_BASE + problem.reason,
        "title": title_of(problem.reason),
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "reason": problem.reason,
        "requestId": request_id,
    }
    if problem.metadata:
        document["metadata"] = dict(problem.metadata)
    if problem.violations:
        document["violations"] = [
            {"field": found.field, "description": found.description} for found in problem.violations
        ]
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    if problem.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(problem.retry_after_seconds))))
    return Answer(orjson.dumps(document), problem.status, MEDIA_TYPE, headers)
