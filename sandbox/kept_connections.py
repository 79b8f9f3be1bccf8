"""GETs over connections that are kept open: what a push of a receipt is, and most of what a load test makes us do.

A whole HTTP client costs three times as much a call, on processors that the sandbox shares with what it tests.
"""

import asyncio
from collections import deque
from functools import lru_cache
from typing import NamedTuple

from httptools import HttpParserError, HttpResponseParser
from yarl import URL

_OWN_LENGTH_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class Answer(NamedTuple):
    """A status and the beginning of a body."""

    status: int
    body: bytes


class Target(NamedTuple):
    """An address cut into where to connect and how a request for it begins, up to the end of its path and query."""

    host: str
    port: int
    is_tls: bool
    begin: bytes
    end: bytes


class KeptConnections:
    """Connections to any number of addresses; as many as there were calls at once."""

    def __init__(self, timeout_seconds: float, body_bytes_max: int) -> None:
        """Bound the time of one call and what is kept of an answer."""
        self._timeout_seconds = timeout_seconds
        self._body_bytes_max = body_bytes_max
        self._idle: dict[tuple[str, int, bool], deque[_Connection]] = {}

    async def get(self, url: str, query: str) -> Answer:
        """GET an address with a further, percent-encoded query.

        Raises:
            TimeoutError: no answer in time.
            OSError: no connection, or it ended before its answer.
            ValueError: a host name that can be parsed and not be looked up.

        """
        target = parse_target(url)
        request = b"%b%b%b" % (target.begin, query.encode("ascii"), target.end)
        async with asyncio.timeout(self._timeout_seconds):
            try:
                return await self._exchange(target, request, self._take(target))
            except StaleConnectionError:
                # The other side closed it at the moment we chose it: that says nothing of this request.
                return await self._exchange(target, request, None)

    def close(self) -> None:
        """Close what is idle; what is under way is its caller's to cancel."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    async def _exchange(self, target: Target, request: bytes, kept: "_Connection | None") -> Answer:
        connection = kept or await self._connect(target)
        try:
            answer = await connection.exchange(request)
        except BaseException:
            connection.abort()
            raise
        if connection.is_reusable:
            self._idle.setdefault(target[:3], deque()).append(connection)
        else:
            connection.abort()
        return answer

    def _take(self, target: Target) -> "_Connection | None":
        """Take the connection that was used last, so that those beyond the need are closed by the other side."""
        idle = self._idle.get(target[:3], ())
        while idle:
            connection = idle.pop()
            if connection.is_reusable:
                return connection
        return None

    async def _connect(self, target: Target) -> "_Connection":
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._body_bytes_max), target.host, target.port, ssl=target.is_tls or None
        )
        return connection


@lru_cache(maxsize=64)
def parse_target(url: str) -> Target:
    """Cut an absolute http(s) URL, whose path and query are percent-encoded already."""
    parsed = URL(url, encoded=True)
    path = f"{parsed.raw_path_qs}{'&' if parsed.raw_query_string else '?'}"
    authority = parsed.raw_authority.rpartition("@")[2]
    end = f" HTTP/1.1\r\nHost: {authority}\r\nAccept: */*\r\nUser-Agent: brandmesh-sandbox\r\n\r\n"
    return Target(
        str(parsed.raw_host), int(parsed.port or 80), parsed.scheme == "https", f"GET {path}".encode(), end.encode()
    )


class StaleConnectionError(ConnectionError):
    """A connection that had answered before was closed without a byte of this answer."""


class _Connection(asyncio.Protocol):
    """One connection with one request under way at most. The parser calls the methods that begin with `on_`."""

    def __init__(self, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._body = b""
        self._has_answered = False
        self._has_begun = False
        self._has_head = False
        self._ends_with_connection = True
        self.is_reusable = False

    async def exchange(self, request: bytes) -> Answer:
        """Send a request and wait for its answer. Raises OSError."""
        if self._transport is None or self._transport.is_closing():
            raise StaleConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._body = b""
        self._has_begun = self._has_head = self.is_reusable = False
        self._ends_with_connection = True
        self._transport.write(request)
        return await self._answer

    def abort(self) -> None:
        """Close at once."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what create_connection makes
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._has_begun = True
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(ConnectionError(f"not HTTP: {error}"))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        if self._has_head and self._ends_with_connection and exc is None:
            self._complete()
        kind = StaleConnectionError if self._has_answered and not self._has_begun else ConnectionError
        self._fail(kind("the connection ended before its answer"))

    def on_header(self, name: bytes, _value: bytes) -> None:
        if name.lower() in _OWN_LENGTH_HEADERS:
            self._ends_with_connection = False

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, chunk: bytes) -> None:
        if len(self._body) < self._body_bytes_max:
            self._body = (self._body + chunk)[: self._body_bytes_max]

    def on_message_complete(self) -> None:
        self.is_reusable = self._parser.should_keep_alive()
        self._complete()

    def _complete(self) -> None:
        self._has_answered = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(self._parser.get_status_code(), self._body))

    def _fail(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
