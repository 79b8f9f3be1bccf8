"""Faults between a call and its answer."""

from collections.abc import Callable

from aiohttp import web

from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject, json_response
from sandbox.no_answer import Waiting, close
from sandbox.txim.codes import RefusalError
from sandbox.txim.faults import AnswerError, Hang, HttpError, LoseResponse, SlowAnswer


class CallFaults:
    """Lets the faults of the moment strike before, instead of, or after a call."""

    def __init__(self, board: FaultBoard, waiting: Waiting) -> None:
        """Take the faults, and where hanging and slow answers wait."""
        self._board = board
        self._waiting = waiting

    async def around(
        self,
        request: web.Request,
        account: str,
        command: str,
        carry_out: Callable[[RefusalError | None], JsonObject],
    ) -> web.StreamResponse:
        """Carry a call out and answer it; `carry_out` is given the refusal to answer with instead, if any."""
        hang = self._board.draw(Hang, account, command)
        http_error = self._board.draw(HttpError, account, command)
        if hang and not hang.accepted:
            return await self._waiting.hang(request)
        if http_error and not http_error.accepted:
            return web.Response(status=http_error.status)
        answer = self._answer(account, command, carry_out)
        if slow := self._board.draw(SlowAnswer, account, command):
            await self._waiting.pause(slow.delay_seconds)
        if hang:
            return await self._waiting.hang(request)
        if self._board.draw(LoseResponse, account, command):
            return close(request)
        return web.Response(status=http_error.status) if http_error else json_response(answer)

    def _answer(self, account: str, command: str, carry_out: Callable[[RefusalError | None], JsonObject]) -> JsonObject:
        error = self._board.draw(AnswerError, account, command)
        if error is None:
            return carry_out(None)
        if error.accepted:
            carry_out(None)
        return carry_out(RefusalError(error.code))
