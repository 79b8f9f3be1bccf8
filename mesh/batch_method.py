"""Serving the Batch form of an rpc (see `mesh.batch`).

Apart from what its callers need, because it validates: the library for that is 12 MB, and callers have no use for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from mesh import telemetry
from mesh.batch import BatchResult
from mesh.coalesce import own
from mesh.errors import DomainError, to_status
from mesh.middleware import validate

log = telemetry.logger()

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer")
Response = TypeVar("Response", bound=Message)
Batch = TypeVar("Batch", bound="BatchResponse")

HandleAll = Callable[[Sequence[Request]], Awaitable[Sequence[Answer | BaseException]]]
"""Does many requests: one answer, or one exception, a request, in order."""

Write = Callable[[Answer, Response], None]
"""Writes an answer into its place in the batch: a message that is made apart is copied there."""


class Results(Protocol):
    """The results of a Batch response, as generated."""

    def add(self) -> BatchResult[Any]: ...


class BatchResponse(Protocol):
    """A Batch response, as generated."""

    @property
    def results(self) -> Results: ...


def copy(answer: Response, response: Response) -> None:
    """Write an answer that is a response already."""
    response.CopyFrom(answer)


class BatchMethod(Generic[Request, Answer, Response, Batch]):
    """Both forms of one rpc, served by one function that does many requests."""

    def __init__(
        self, handle_all: HandleAll[Request, Answer], write: Write[Answer, Response], batch_type: Callable[[], Batch]
    ) -> None:
        self._handle_all = handle_all
        self._write = write
        self._batch_type = batch_type

    async def one(self, request: Request) -> Response:
        """Serve the unary form, whose request the server has validated."""
        (answer,) = await self._handle_all([request])
        if isinstance(answer, BaseException):
            raise own(answer)
        response: Response = self._batch_type().results.add().response
        self._write(answer, response)
        return response

    async def many(self, requests: Sequence[Request]) -> Batch:
        """Serve the Batch form: validate each item by itself, do the valid ones together."""
        # Each look at an item of a repeated field makes its object anew.
        requests = list(requests)
        refusals: dict[int, DomainError] = {}
        for position, request in enumerate(requests):
            try:
                validate(request)
            except DomainError as refusal:
                refusals[position] = refusal
        valid = [request for position, request in enumerate(requests) if position not in refusals]
        answers = iter(await self._handle_all(valid) if valid else ())
        return self._batch(
            refusals[position] if position in refusals else next(answers) for position in range(len(requests))
        )

    def _batch(self, answers: Iterable[Answer | BaseException]) -> Batch:
        """Write answers. The status of a refusal that many items share, as one object, is made once."""
        batch = self._batch_type()
        statuses: dict[int, status_pb2.Status] = {}
        for answer in answers:
            result = batch.results.add()
            if isinstance(answer, BaseException):
                status = statuses.get(id(answer)) or statuses.setdefault(id(answer), _status(answer))
                result.error.CopyFrom(status)
            else:
                response = result.response
                # A response of which no field is set is one too.
                response.SetInParent()
                self._write(answer, response)
        return batch


def _status(error: BaseException) -> status_pb2.Status:
    if not isinstance(error, DomainError):
        log.error("item of a batch failed", exc_info=error)
        error = DomainError(grpc.StatusCode.INTERNAL, "INTERNAL", "something went wrong here; try again")
    return to_status(error)
