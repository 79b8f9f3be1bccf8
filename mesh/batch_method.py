"""Serving the Batch form of an rpc (see `mesh.batch`).

Apart from what its callers need, because it validates: the library for that is 12 MB, and callers have no use for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message

from mesh import telemetry
from mesh.coalesce import own
from mesh.errors import DomainError, to_status
from mesh.middleware import validate

log = telemetry.logger()

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result", bound=Message)

HandleAll = Callable[[Sequence[Request]], Awaitable[Sequence[Response | BaseException]]]
"""Does many requests: one response, or one exception, a request, in order."""


class BatchMethod(Generic[Request, Response, Result]):
    """Both forms of one rpc, served by one function that does many requests."""

    def __init__(self, handle_all: HandleAll[Request, Response], result_type: type[Result]) -> None:
        self._handle_all = handle_all
        self._result_type = result_type

    async def one(self, request: Request) -> Response:
        """Serve the unary form, whose request the server has validated."""
        (response,) = await self._handle_all([request])
        if isinstance(response, BaseException):
            raise own(response)
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
        responses = iter(await self._handle_all(valid) if valid else ())
        return self._results(
            refusals[position] if position in refusals else next(responses) for position in range(len(requests))
        )

    def _results(self, answers: Iterable[Response | BaseException]) -> list[Result]:
        """Write answers. A refusal that many items share, as one object, is written once."""
        written: dict[int, Result] = {}
        results: list[Result] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                result = written.get(id(answer)) or written.setdefault(id(answer), self._result(answer))
            else:
                result = self._result(answer)
            results.append(result)
        return results

    def _result(self, response: Response | BaseException) -> Result:
        if not isinstance(response, BaseException):
            return self._result_type(response=response)
        if not isinstance(response, DomainError):
            log.error("item of a batch failed", exc_info=response)
            response = DomainError(grpc.StatusCode.INTERNAL, "INTERNAL", "something went wrong here; try again")
        return self._result_type(error=to_status(response))
