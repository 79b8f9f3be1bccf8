"""One error type for the whole mesh, and its two translations: to and from a gRPC status.

Code that refuses raises `DomainError`; an interceptor of the server turns it into a status with
`google.rpc.ErrorInfo` (and BadRequest, RetryInfo where they apply), and the client turns that back into the same
`DomainError`. Nothing else of the mesh touches gRPC statuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status.rpc_status import from_call

if TYPE_CHECKING:
    from google.protobuf.message import Message

ERROR_DOMAIN = "brandmesh"
"""`ErrorInfo.domain` of every reason in this project."""

VIOLATIONS_MAX = 20
"""Field violations told to a caller at most: a list of 100,000 bad phones needs no list of as many errors."""

NO_REPEAT = ("grpc-retry-pushback-ms", "-1")
"""What a server sends along so that a channel does not repeat a call by itself (gRFC A6)."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong. `field` is its path as the caller wrote it, for example `phones[3]`."""

    field: str
    description: str


@dataclass(eq=False)
class DomainError(Exception):
    """A refusal that the caller can act on.

    `reason` is UPPER_SNAKE and stable, `message` tells a person what to do, `metadata` holds figures such as
    `available`. `retry_after_seconds` says that the same request may succeed later. `is_tried_out` says that it was
    repeated already. Were it repeated at once by each process that it came through, the one at the end would be called
    as often as their attempts multiplied.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[FieldViolation] = ()
    retry_after_seconds: float | None = None
    is_tried_out: bool = False

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    @property
    def is_retryable(self) -> bool:
        """Whether the same request, with the same request_id, may be made again as it is."""
        return self.code in _RETRYABLE


_RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
    }
)


def invalid_request(*violations: FieldViolation) -> DomainError:
    """Say which fields are wrong."""
    shown = violations[:VIOLATIONS_MAX]
    message = "; ".join(f"{violation.field}: {violation.description}" for violation in shown[:3])
    return DomainError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", message, violations=shown)


def invalid_field(name: str, description: str) -> DomainError:
    """Say that one field is wrong."""
    return invalid_request(FieldViolation(name, description))


def overloaded(what: str, retry_after_seconds: float = 1.0) -> DomainError:
    """Push back: `what` is full and the caller should come again."""
    return DomainError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        f"{what} is full, try again in {retry_after_seconds:g} s",
        retry_after_seconds=retry_after_seconds,
    )


def to_status(error: DomainError) -> status_pb2.Status:
    """Write an error as google.rpc.Status."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=dict(error.metadata))
    ]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
                    for v in error.violations
                ]
            )
        )
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)


def from_status(status: status_pb2.Status) -> DomainError:
    """Read what `to_status` wrote. A status of another origin keeps its code, with the code's name as reason."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    error = DomainError(code, code.name, status.message)
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            error.reason, error.metadata = info.reason, dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest.FromString(detail.value)
            error.violations = [FieldViolation(v.field, v.description) for v in bad_request.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo.FromString(detail.value)
            error.retry_after_seconds = retry.retry_delay.ToMilliseconds() / 1000
    return error


def from_rpc_error(error: grpc.aio.AioRpcError) -> DomainError:
    """Read the error of a call that this process made, and its channel repeated if it was UNAVAILABLE.

    That counts only where the peer itself said so. Where it could not be reached it may be starting, and who called us
    does well to repeat.
    """
    status = from_call(cast("grpc.Call", error))  # it has all of Call that is read here
    if status is None:
        return DomainError(error.code(), error.code().name, error.details() or error.code().name)
    refusal = from_status(status)
    refusal.is_tried_out = refusal.code is grpc.StatusCode.UNAVAILABLE
    return refusal
