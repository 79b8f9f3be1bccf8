"""`python -m bench.peers.load`: a process that GETs paths over connections kept open, one after the other on each.

The counterpart of bench/http_load.py, which POSTs what brandmesh takes: a process of its own, plain sockets, requests
rendered beforehand. It understands answers of any form, for the peers' have several. It reads its plan as JSON from
standard input and writes what it saw to standard output.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import httptools

from bench.http_load import CONNECT_SECONDS_MAX, LoadError, exchange
from mesh.loopback import LOOPBACK

_CHUNK_BYTES = 1 << 16
_TAKEN = (200, 202)


@dataclass(frozen=True, slots=True)
class GetPlan:
    """Paths with their queries, each asked for once."""

    port: int
    connections: int
    paths: list[str]


@dataclass(frozen=True, slots=True)
class Answered:
    """What the load saw. Times are Unix seconds; each latency is from the request to the whole of its answer."""

    began_at: float
    ended_at: float
    latencies_ms: list[float]


def main() -> None:
    """Carry out the plan on standard input."""
    plan = GetPlan(**json.loads(sys.stdin.read()))
    try:
        json.dump(asdict(run(plan)), sys.stdout)
    except LoadError as error:
        sys.exit(f"load: {error}")


def run(plan: GetPlan) -> Answered:
    """Ask for every path, and wait for every answer. Raises LoadError."""
    requests = [f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode() for path in plan.paths]
    with _connected(plan.port, min(plan.connections, len(requests))) as (selector, connections):
        began_at = time.time()
        latencies_ms, _ = exchange(selector, connections, requests)
        return Answered(began_at, time.time(), latencies_ms)


class _Connection:
    """One connection with at most one request under way."""

    __slots__ = ("_body", "_is_answered", "_parser", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=CONNECT_SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._is_answered = False

    def send(self, request: bytes) -> None:
        self._is_answered = False
        self._body = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Read what is there; answer whether that was the end of an answer. Raises LoadError."""
        chunk = self.socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise LoadError("the peer closed a connection")
        self._parser.feed_data(chunk)
        if self._is_answered and self._parser.get_status_code() not in _TAKEN:
            raise LoadError(f"refused: {self._parser.get_status_code()} {self._body.decode(errors='replace')}")
        return self._is_answered

    def on_body(self, body: bytes) -> None:
        """Take a part of an answer's body, as the parser finds it."""
        self._body += body

    def on_message_complete(self) -> None:
        """Note the end of an answer, as the parser finds it."""
        self._is_answered = True


@contextmanager
def _connected(port: int, count: int) -> Iterator[tuple[selectors.BaseSelector, list[_Connection]]]:
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        connections = [_Connection(port) for _ in range(count)]
        for connection in connections:
            stack.enter_context(connection.socket)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        yield selector, connections


if __name__ == "__main__":
    main()
