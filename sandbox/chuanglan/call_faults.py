"""Faults between a call and its answer."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.chuanglan.faults import AnswerCode, Hang, HttpError, IntegerCode, LoseResponse, Operation, SlowAnswer
from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject, json_response
from sandbox.no_answer import Waiting, close


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
        operation: Operation,
        carry_out: Callable[[str], Awaitable[JsonObject]],
    ) -> web.StreamResponse:
        """Carry a call out and answer it; `carry_out` is given the code to refuse it with, or ""."""
        refusal = self._board.draw(AnswerCode, account, operation)
        hang = self._board.draw(Hang, account, operation)
        http_error = self._board.draw(HttpError, account, operation)
        if hang and not hang.accepted:
            return await self._waiting.hang(request)
        if http_error and not http_error.accepted:
            return web.Response(status=http_error.status)
        answer = await carry_out(refusal.code if refusal else "")
        if slow := self._board.draw(SlowAnswer, account, operation):
            await self._waiting.pause(slow.delay_seconds)
        if hang:
            return await self._waiting.hang(request)
        if self._board.draw(LoseResponse, account, operation):
            return close(request)
        if http_error:
            return web.Response(status=http_error.status)
        return json_response(self._with_code_type(answer, account, operation))

    def _with_code_type(self, answer: JsonObject, account: str, operation: Operation) -> JsonObject:
        if "code" in answer and self._board.draw(IntegerCode, account, operation):
            return {**answer, "code": int(str(answer["code"]))}
        return answer
