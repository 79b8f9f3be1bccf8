"""A client that costs next to nothing: it POSTs single SMS over connections kept open, one after the other on each.

The load shares its processors with what it measures. aiohttp costs some 115 us a request, which would be a quarter of
all the work; requests rendered beforehand, plain sockets and an answer that is only cut, not understood, cost a tenth
of that. It is a process of its own so that neither waits for the other's turn. It reads its plan as JSON from standard
input and writes what it saw to standard output.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

CONNECT_SECONDS_MAX = 10.0
ANSWER_SECONDS_MAX = 60.0
_CHUNK_BYTES = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 "


@dataclass(frozen=True, slots=True)
class Plan:
    """So many SMS of one brand, each to another phone, over so many connections. `run_id` makes them new ones."""

    host: str
    port: int
    brand_id: int
    api_key: str
    run_id: str
    sms_type: str
    connections: int
    messages: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the load saw. Times are Unix seconds; each latency is from the request to the whole of its answer."""

    began_at: float
    ended_at: float
    latencies_ms: list[float]
    last_message_id: str
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Played:
    """What came of some requests. `last_body` is the body of the last answer."""

    began_at: float
    ended_at: float
    latencies_ms: list[float]
    last_body: bytes
    cpu_seconds: float


class Connection(Protocol):
    """One connection with at most one request under way. `sent_at` is a time of the performance counter."""

    sent_at: float

    def send(self, request: bytes) -> None:
        """Send a request, after the one before it was answered."""

    def is_answered(self) -> bool:
        """Read what is there; answer whether that was the end of an answer. Raises LoadError."""


Line = TypeVar("Line", bound=Connection)


class LoadError(Exception):
    """An answer that is not 200, or a connection that was closed."""


def main() -> None:
    """Carry out the plan on standard input."""
    plan = Plan(**json.loads(sys.stdin.read()))
    try:
        json.dump(asdict(run(plan)), sys.stdout)
    except LoadError as error:
        sys.exit(f"load: {error}")


def run(plan: Plan) -> Seen:
    """Send everything, and wait for every answer. Raises LoadError."""
    played = play(plan.host, plan.port, plan.connections, list(rendered(plan)))
    last_message_id = json.loads(played.last_body)["messages"][0]["messageId"]
    return Seen(played.began_at, played.ended_at, played.latencies_ms, last_message_id, played.cpu_seconds)


def play(
    host: str, port: int, connections: int, requests: Sequence[bytes], accepted: tuple[bytes, ...] = (_OK,)
) -> Played:
    """Send whole requests over so many connections, and wait for every answer.

    Raises LoadError for one that does not begin with one of `accepted`.
    """
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        opened = [_Connection(host, port, accepted) for _ in range(connections)]
        for connection in opened:
            stack.enter_context(connection.socket)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        cpu_before, began_at = time.process_time(), time.time()
        latencies_ms, last = exchange(selector, opened, requests)
        ended_at, cpu_after = time.time(), time.process_time()
    return Played(began_at, ended_at, latencies_ms, last.body, cpu_after - cpu_before)


def rendered(plan: Plan) -> Iterator[bytes]:
    """Yield whole requests, head and body."""
    head = (
        f"POST /v1/brands/{plan.brand_id}/sms HTTP/1.1\r\nHost: {plan.host}\r\n"
        f"Authorization: Bearer {plan.api_key}\r\nContent-Type: application/json\r\nContent-Length: "
    )
    for number in range(plan.messages):
        body = json.dumps(
            {
                "requestId": f"{plan.run_id}-{number}",
                "type": plan.sms_type,
                "phones": [f"139{number:08d}"],
                "content": f"Your code is {number:06d}",
                "signature": "brandmesh",
            }
        )
        yield f"{head}{len(body)}\r\n\r\n{body}".encode()


def cut_answer(received: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Cut status line with headers, body, and what follows; None while the answer is not complete."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    length = _LENGTH.search(received, 0, head_end)
    if length is None:
        raise LoadError(f"an answer without a length: {received[:200]!r}")
    body_end = head_end + 4 + int(length[1])
    if len(received) < body_end:
        return None
    return received[:head_end], received[head_end + 4 : body_end], received[body_end:]


class _Connection:
    """One connection with at most one request under way."""

    __slots__ = ("accepted", "body", "received", "sent_at", "socket")

    def __init__(self, host: str, port: int, accepted: tuple[bytes, ...]) -> None:
        self.accepted = accepted
        self.socket = socket.create_connection((host, port), timeout=CONNECT_SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.received = b""
        self.body = b""

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Read what is there; answer whether that was the end of an answer, which `body` holds. Raises LoadError."""
        chunk = self.socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise LoadError("the gateway closed a connection")
        self.received += chunk
        answer = cut_answer(self.received)
        if answer is None:
            return False
        head, self.body, self.received = answer
        if not head.startswith(self.accepted):
            raise LoadError(f"refused: {head.splitlines()[0].decode()} {self.body.decode(errors='replace')}")
        return True


def exchange(
    selector: selectors.BaseSelector, connections: Sequence[Line], requests: Sequence[bytes]
) -> tuple[list[float], Line]:
    """Keep every connection busy until all is answered; answer the latencies, and the connection answered last."""
    waiting, latencies_ms, last = iter(requests), list[float](), connections[0]
    for idle, request in zip(connections, waiting, strict=False):
        idle.send(request)
    while len(latencies_ms) < len(requests):
        ready = selector.select(ANSWER_SECONDS_MAX)
        if not ready:
            raise LoadError(f"no answer for {ANSWER_SECONDS_MAX:g} s")
        for key, _ in ready:
            connection: Line = key.data
            if not connection.is_answered():
                continue
            latencies_ms.append((time.perf_counter() - connection.sent_at) * 1000)
            last = connection
            following = next(waiting, None)
            if following is not None:
                connection.send(following)
    return latencies_ms, last


if __name__ == "__main__":
    main()
