"""A merchant's call and its answer: refusals written, and the faults that strike between the two."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from sandbox.faults import FaultBoard
from sandbox.json_http import json_response
from sandbox.no_answer import close
from sandbox.payment.errors import PaymentError
from sandbox.payment.faults import HttpError, LoseResponse, Operation

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Calls:
    """Makes handlers of operations."""

    def __init__(self, board: FaultBoard, merchant_id: str, refuse: Callable[[PaymentError], web.Response]) -> None:
        """Take whose calls they are, and how a refusal is written."""
        self._board = board
        self._merchant_id = merchant_id
        self._refuse = refuse

    def of(self, operation: Operation, carry_out: Handler) -> Handler:
        """Have the faults of the moment strike before, instead of, or after what is carried out."""

        async def handle(request: web.Request) -> web.Response:
            error = self._board.draw(HttpError, self._merchant_id, operation)
            if error and not error.accepted:
                return web.Response(status=error.status)
            answer = await self.plainly(carry_out)(request)
            if self._board.draw(LoseResponse, self._merchant_id, operation):
                return close(request)
            return web.Response(status=error.status) if error else answer

        return handle

    def plainly(self, carry_out: Handler) -> Handler:
        """Write refusals, and nothing else."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return await carry_out(request)
            except PaymentError as error:
                return self._refuse(error)

        return handle


def refuse_flat(error: PaymentError) -> web.Response:
    """Answer a refusal with its code, the reason and the HTTP status."""
    body: Mapping[str, object] = {"code": error.code, "message": error.reason}
    return json_response(body, status=error.http_status)
