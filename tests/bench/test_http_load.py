from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from bench.http_load import LoadError, Plan, cut_answer, rendered, run

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
ACCEPTED = json.dumps({"messages": [{"messageId": "42"}]}).encode()


def plan(port: int = 1, connections: int = 2, messages: int = 3) -> Plan:
    return Plan("127.0.0.1", port, 1001, "key", "run", "verification", connections, messages)


def answer(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


@contextmanager
def gateway(status: str, body: bytes) -> Iterator[tuple[int, list[dict[str, object]]]]:
    """Answer every request alike, over any number of connections; tell what was asked."""
    asked: list[dict[str, object]] = []
    lock = threading.Lock()

    def serve(connection: socket.socket) -> None:
        # A load that is refused goes at once, before the answer is whole.
        with suppress(ConnectionError), connection, connection.makefile("rwb", buffering=0) as stream:
            while line := stream.readline():
                length = 0
                while line != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = stream.readline()
                request = json.loads(stream.read(length) or b"{}")
                with lock:
                    asked.append(request)
                # In two pieces: an answer need not come at once.
                whole = answer(status, body)
                stream.write(whole[:30])
                stream.write(whole[30:])

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, args=(listener,), daemon=True)
        accepting.start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(5)


def test_each_request_is_another_message_to_another_phone() -> None:
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in rendered(plan(messages=100))]
    assert len({body["requestId"] for body in bodies}) == 100
    assert len({body["phones"][0] for body in bodies}) == 100


def test_the_length_that_is_said_is_the_length_of_the_body() -> None:
    for request in rendered(plan()):
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")


@pytest.mark.parametrize("received", [b"", HEAD, HEAD + b"\r\n", HEAD + b"\r\nabcd"])
def test_an_answer_is_cut_only_when_it_is_whole(received: bytes) -> None:
    assert cut_answer(received) is None


def test_what_follows_an_answer_is_kept() -> None:
    assert cut_answer(HEAD + b"\r\nabcdeHTTP") == (HEAD[:-2], b"abcde", b"HTTP")


def test_an_answer_without_a_length_is_refused() -> None:
    with pytest.raises(LoadError, match="without a length"):
        cut_answer(b"HTTP/1.1 200 OK\r\n\r\n")


@pytest.mark.parametrize(("connections", "messages"), [(1, 5), (4, 50), (8, 3)])
def test_everything_is_sent_once_and_every_answer_is_waited_for(connections: int, messages: int) -> None:
    with gateway("200 OK", ACCEPTED) as (port, asked):
        seen = run(plan(port, connections, messages))

    assert sorted(str(one["requestId"]) for one in asked) == sorted(f"run-{number}" for number in range(messages))
    assert len(seen.latencies_ms) == messages
    assert seen.last_message_id == "42"
    assert seen.began_at <= seen.ended_at


def test_a_refusal_ends_the_load_with_what_was_said() -> None:
    refusal = b'{"reason":"RATE_LIMITED"}'
    with gateway("429 Too Many Requests", refusal) as (port, _), pytest.raises(LoadError, match=r"429 .*RATE_LIMITED"):
        run(plan(port))
