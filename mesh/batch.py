"""The Batch form of an rpc, the same for every rpc that has one: what its caller reads. `mesh.batch_method` serves it.

A Batch request holds `repeated <Request> requests`; its response holds `repeated <Result> results` in the same order; a
result is a oneof `outcome` of `response` and `error` (google.rpc.Status). A bad or refused item fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message
from google.rpc import status_pb2

from mesh.errors import DomainError, from_status

Response = TypeVar("Response", bound=Message)
Response_co = TypeVar("Response_co", bound=Message, covariant=True)


class BatchResult(Protocol[Response_co]):
    """One item of a Batch answer, as generated."""

    @property
    def response(self) -> Response_co: ...
    @property
    def error(self) -> status_pb2.Status: ...
    def WhichOneof(self, oneof_group: Any, /) -> str | None: ...  # noqa: N802  # protobuf's own name


def unpack(results: Sequence[BatchResult[Response]]) -> list[Response | DomainError]:
    """Read a Batch answer: the response, or the refusal, of each item in order."""
    return [
        from_status(result.error) if result.WhichOneof("outcome") == "error" else result.response for result in results
    ]
