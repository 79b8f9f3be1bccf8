"""uvicorn, with the bounds that it leaves open, and without signal handlers of its own.

uvicorn's httptools protocol bounds neither the size of a request's head nor the time it may take, takes what follows a
chunked body for headers, and after an early answer it reads on for as long as the caller sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import uvicorn
from httptools import HttpParserError
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.exchange import BODY_IS_COMPLETE, FLUSH
from gateway.problems import MEDIA_TYPE, TYPE_BASE, title_of

HEAD_BYTES_MAX = 32 << 10
"""Request line and headers together, and so is what a chunked body has beside its bytes at one place."""

HEAD_SECONDS_MAX = 10.0
LINGER_SECONDS_MAX = 5.0
"""How long the rest of a body is read and dropped after its request was answered, so that the answer is not lost."""


class WholeAnswers(asyncio.Transport):
    """A connection as one request sees it: uvicorn writes an answer's head and body apart, here they leave together.

    The system call for each of the two, and the caller waking up for the first of them, cost a sixth of a request.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._parts: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._parts.append(bytes(data))

    def flush(self) -> None:
        """Send what was written."""
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = False
        self._is_in_message = False
        self._has_progressed = False
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._answers = WholeAnswers(transport)
        self._close_after(HEAD_SECONDS_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep_open()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._has_progressed = False
        super().data_received(data)
        is_beside_body = self._is_in_message and not self._has_progressed
        if not is_beside_body or self._is_refused or self.transport.is_closing():
            return
        # The parser holds an unfinished header, trailer or extension itself, so its bytes are counted here.
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self.send_400_response("")
        elif self._is_in_head and self._deadline is None:
            self._close_after(HEAD_SECONDS_MAX)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = self._is_in_message = True
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Drop trailers: with what a proxy has set, such as the caller's address, they would count as headers."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._head_bytes > HEAD_BYTES_MAX:
            raise HttpParserError("the head is too large")
        self._is_in_head = False
        self._has_progressed = True
        self._head_bytes = 0
        self._keep_open()
        super().on_headers_complete()
        if not self.expect_100_continue:
            self.cycle.transport = self._answers

    def on_body(self, body: bytes) -> None:
        self._has_progressed = True
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_message = False
        self.scope[BODY_IS_COMPLETE] = True  # type: ignore[literal-required]  # ASGI lets servers add keys
        self.scope[FLUSH] = self._answers.flush  # type: ignore[literal-required]  # likewise
        self._keep_open()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._answers.flush()
        super().on_response_complete()
        if self._is_in_message:
            self._close_after(LINGER_SECONDS_MAX)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are replaced
        """Refuse what the parser refused, as a problem."""
        if self._head_bytes > HEAD_BYTES_MAX:
            answer = _problem(431, "HEAD_TOO_LARGE", f"path and headers may have {HEAD_BYTES_MAX} bytes together")
        else:
            answer = _problem(400, "HTTP_MALFORMED", "this is not a request of HTTP/1.1")
        is_in_body = self._is_in_message and not self._is_in_head
        if not (is_in_body and self.cycle.response_complete):
            self.transport.write(answer)
        if is_in_body:
            # What handles the request waits for the rest of it, and has nobody to answer any more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # Closing at once would reset the connection over what is still on its way, and the answer would be lost.
        self._is_refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._close_after(LINGER_SECONDS_MAX)

    def _close_after(self, seconds: float) -> None:
        self._keep_open()
        self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _keep_open(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _problem(status: int, reason: str, detail: str) -> bytes:
    document = {"type": TYPE_BASE + reason, "title": title_of(reason), "status": status, "detail": detail}
    body = orjson.dumps({**document, "reason": reason})
    headers = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + headers.encode() + body


class HttpServer(uvicorn.Server):
    """Serves until `should_exit` is set, which the process does; requests under way finish within the drain time."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield
