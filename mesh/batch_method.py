"""Serving the Batch form of an rpc (see `mesh.batch`).

Apart from what its callers need, because it validates: the library for that is 12 MB, and callers have no use for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from mesh import telemetry
from mesh.batch import BatchResult
from mesh.coalesce import own
from mesh.errors import DomainError, to_status
from mesh.middleware import validate

log = telemetry.logger()

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer")
Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result", bound=BatchResult[Any])

HandleAll = Callable[[Sequence[Request]], Awaitable[Sequence[Answer | BaseException]]]
"""Does many requests: one answer, or one exception, a request, in order."""

Write = Callable[[Answer, Response], None]
"""Writes an answer into its place in the result: each message that is made apart is copied there."""


def copy(answer: Response, response: Response) -> None:
    """Write an answer that is a response already."""
    response.CopyFrom(answer)


class BatchMethod(Generic[Request, Answer, Response, Result]):
    """Both forms of one rpc, served by one function that does many requests."""

    def __init__(
        self, handle_all: HandleAll[Request, Answer], write: Write[Answer, Response], result_type: Callable[[], Result]
    ) -> None:
        self._handle_all = handle_all
        self._write = write
        self._result_type = result_type

    async def one(self, request: Request) -> Response:
        """Serve the unary form, whose request the server has validated."""
        (answer,) = await self._handle_all([request])
        if isinstance(answer, BaseException):
            raise own(answer)
        response: Response = self._responded(answer).response
        return response

    async def many(self, requests: Sequence[Request]) -> list[Result]:
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
        return self._results(
            refusals[position] if position in refusals else next(answers) for position in range(len(requests))
        )

    def _results(self, answers: Iterable[Answer | BaseException]) -> list[Result]:
        """Write answers. A refusal that many items share, as one object, is written once."""
        written: dict[int, Result] = {}
        results: list[Result] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                result = written.get(id(answer)) or written.setdefault(id(answer), self._refused(answer))
            else:
                result = self._responded(answer)
            results.append(result)
        return results

    def _responded(self, answer: Answer) -> Result:
        result = self._result_type()
        # A response of which no field is set is one too.
        result.response.SetInParent()
        self._write(answer, result.response)
        return result

    def _refused(self, error: BaseException) -> Result:
        if not isinstance(error, DomainError):
            log.error("item of a batch failed", exc_info=error)
            error = DomainError(grpc.StatusCode.INTERNAL, "INTERNAL", "something went wrong here; try again")
        result = self._result_type()
        result.error.CopyFrom(to_status(error))
        return result
