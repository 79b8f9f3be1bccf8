"""Faults between a call and its answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.chuanglan.faults import AnswerCode, Hang, HttpError, IntegerCode, LoseResponse, Operation, SlowAnswer
from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject, json_response


class CallFaults:
    """Lets the faults of the moment strike before, instead of, or after a call."""

    def __init__(self, board: FaultBoard, stopping: asyncio.Event, hang_seconds_max: float) -> None:
        """Take the event that ends hanging and slow answers early, and the time after which a hanging one ends."""
        self._board = board
        self._stopping = stopping
        self._hang_seconds_max = hang_seconds_max

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
            return await self._hang(request)
        if http_error and not http_error.accepted:
            return web.Response(status=http_error.status)
        answer = await carry_out(refusal.code if refusal else "")
        if slow := self._board.draw(SlowAnswer, account, operation):
            await self._pause(slow.delay_seconds)
        if hang:
            return await self._hang(request)
        if self._board.draw(LoseResponse, account, operation):
            return _close(request)
        if http_error:
            return web.Response(status=http_error.status)
        return json_response(self._with_code_type(answer, account, operation))

    def _with_code_type(self, answer: JsonObject, account: str, operation: Operation) -> JsonObject:
        if "code" in answer and self._board.draw(IntegerCode, account, operation):
            return {**answer, "code": int(str(answer["code"]))}
        return answer

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        await self._pause(self._hang_seconds_max)
        return _close(request)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the stop of the sandbox. A caller that goes away cancels the wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _close(request: web.Request) -> web.StreamResponse:
    """Close the connection; the response returned here can no longer be written to it."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()
