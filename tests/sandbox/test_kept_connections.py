"""What real servers do to a client that keeps its connections."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sandbox.kept_connections import Answer, KeptConnections, parse_target
from tests.sandbox.harness import eventually

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Server:
    """Plays one script a connection: an answer for each request in it, then the end of the connection."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(*scripts: Sequence[bytes]) -> AsyncIterator[Server]:
    server, left = Server(), list(scripts)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        for answer in left.pop(0):
            server.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
        writer.close()
        server.closed.set()

    async with await asyncio.start_server(play, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()[:2]
        server.url = f"http://{host}:{port}/path"
        yield server


@asynccontextmanager
async def client(timeout_seconds: float = 5.0) -> AsyncIterator[KeptConnections]:
    kept = KeptConnections(timeout_seconds, body_bytes_max=10)
    yield kept
    kept.close()


async def test_one_connection_serves_one_call_after_another() -> None:
    async with serving([OK, OK, OK]) as server, client() as kept:
        answers = [await kept.get(server.url, f"n={number}") for number in range(3)]

    assert answers == [Answer(200, b"ok")] * 3
    assert server.connections == 1
    assert [request.split(b"\r\n")[0] for request in server.requests] == [
        b"GET /path?n=%d HTTP/1.1" % number for number in range(3)
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["chunked", "until the end of the connection", "closed afterwards"],
)
async def test_every_way_to_end_an_answer_is_understood(answer: bytes) -> None:
    async with serving([answer]) as server, client() as kept:
        assert await kept.get(server.url, "n=1") == Answer(200, b"ok")


async def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    async with serving([OK], [OK]) as server, client() as kept:
        await kept.get(server.url, "n=1")
        await server.closed.wait()
        assert await kept.get(server.url, "n=2") == Answer(200, b"ok")

    assert server.connections == 2


async def test_a_kept_connection_that_closes_in_place_of_an_answer_is_tried_anew_once() -> None:
    async with serving([OK, b""], [OK]) as server, client() as kept:
        await kept.get(server.url, "n=1")
        assert await kept.get(server.url, "n=2") == Answer(200, b"ok")

    assert len(server.requests) == 3


@pytest.mark.parametrize("script", [[b""], [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok"], [b"no HTTP\r\n\r\n"]])
async def test_what_is_no_whole_answer_is_an_error_and_not_tried_again(script: list[bytes]) -> None:
    async with serving(script) as server, client() as kept:
        with pytest.raises(ConnectionError):
            await kept.get(server.url, "n=1")

    assert len(server.requests) == 1


async def test_an_answer_that_does_not_come_is_given_up_with_its_connection() -> None:
    never = asyncio.Event()
    requests = 0

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await never.wait()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server, client(timeout_seconds=0.05) as kept:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await kept.get(url, "n=1")
        await eventually(lambda: requests == 2, "both connections are seen")
        never.set()


async def test_only_the_beginning_of_a_long_answer_is_kept() -> None:
    long = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n" + b"x" * 20
    async with serving([long, OK]) as server, client() as kept:
        assert await kept.get(server.url, "n=1") == Answer(200, b"x" * 10)
        assert await kept.get(server.url, "n=2") == Answer(200, b"ok")


@pytest.mark.parametrize(
    ("url", "begin", "host"),
    [
        ("http://a.example/x?y=%20", b"GET /x?y=%20&", b"Host: a.example\r\n"),
        ("http://a.example:8080", b"GET /?", b"Host: a.example:8080\r\n"),
        ("https://[::1]:8443/x", b"GET /x?", b"Host: [::1]:8443\r\n"),
    ],
)
def test_an_address_is_cut_as_it_stands(url: str, begin: bytes, host: bytes) -> None:
    target = parse_target(url)
    assert target.begin == begin
    assert host in target.end
    assert target.is_tls is url.startswith("https")
