"""Faults between a call and its answer."""

import asyncio
import contextlib
from collections.abc import Callable

from aiohttp import web

from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject, json_response
from sandbox.txim.codes import RefusalError
from sandbox.txim.faults import AnswerError, Hang, HttpError, LoseResponse, SlowAnswer


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
        command: str,
        carry_out: Callable[[RefusalError | None], JsonObject],
    ) -> web.StreamResponse:
        """Carry a call out and answer it; `carry_out` is given the refusal to answer with instead, if any."""
        hang = self._board.draw(Hang, account, command)
        http_error = self._board.draw(HttpError, account, command)
        if hang and not hang.accepted:
            return await self._hang(request)
        if http_error and not http_error.accepted:
            return web.Response(status=http_error.status)
        answer = self._answer(account, command, carry_out)
        if slow := self._board.draw(SlowAnswer, account, command):
            await self._pause(slow.delay_seconds)
        if hang:
            return await self._hang(request)
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

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        await self._pause(self._hang_seconds_max)
        return close(request)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the stop of the sandbox. A caller that goes away cancels the wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def close(request: web.Request) -> web.StreamResponse:
    """Close the connection; the response returned here can no longer be written to it."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
