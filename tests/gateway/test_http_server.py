import asyncio
import json
import statistics
import time

import pytest

from gateway import http_server
from mesh.testing import eventually
from tests.gateway.harness import BRAND, Served, ServeGateway
from tests.gateway.test_api import SEND

pytestmark = pytest.mark.asyncio(loop_scope="session")


def reason_of(answer: bytes) -> tuple[bytes, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return head.split(b" ")[1], json.loads(body)["reason"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: a\r\n" % number for number in range(5_000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 1_000_000,
    ],
)
async def test_large_heads_are_refused(served: Served, request_bytes: bytes) -> None:
    assert reason_of(await served.raw(request_bytes)) == (b"431", "HEAD_TOO_LARGE")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nbad header: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused(served: Served, request_bytes: bytes) -> None:
    assert reason_of(await served.raw(request_bytes)) == (b"400", "HTTP_MALFORMED")


async def test_unfinished_head_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_SECONDS_MAX", 0.2)
    assert await served.raw(b"", wait_seconds=3) == b""
    assert await served.raw(b"GET / HTTP/1.1\r\nhost:", wait_seconds=3) == b""


async def test_rest_of_a_refused_body_is_read_for_a_while_only(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "LINGER_SECONDS_MAX", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"POST /v1/brands/{BRAND}/sms HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n".encode())

    async def is_closed() -> bool:
        writer.write(b" " * 1000)
        return reader.at_eof()

    assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    await reader.readuntil(b"\r\n\r\n")
    reading = asyncio.create_task(reader.read())
    await eventually(is_closed, timeout_seconds=5)
    await asyncio.gather(reading, return_exceptions=True)
    writer.close()


async def test_connection_is_kept_and_requests_may_follow_each_other(served: Served) -> None:
    request = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    assert (await served.raw(request * 3 + last)).count(b"HTTP/1.1 200 ") == 4


async def test_answers_do_not_wait_for_a_delayed_acknowledgement(served: Served) -> None:
    took_seconds = []
    for _ in range(11):
        started_at = time.perf_counter()
        async with served.http.get("/healthz") as response:
            await response.read()
        took_seconds.append(time.perf_counter() - started_at)
    assert statistics.median(took_seconds) < 0.03


async def test_header_cannot_be_injected_through_the_request_id(served: Served) -> None:
    request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-request-id: a\rset-cookie: b=c\r\nconnection: close\r\n\r\n"
    assert b"set-cookie" not in (await served.raw(request)).lower()


async def test_refused_body_does_not_become_the_next_request(served: Served) -> None:
    smuggled = b"GET /docs HTTP/1.1\r\nhost: a\r\n\r\n"
    head = f"POST /v1/brands/{BRAND}/sms HTTP/1.1\r\nhost: a\r\ncontent-length: {len(smuggled)}\r\n\r\n".encode()
    last = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    answer = await served.raw(head + smuggled + last)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"<!doctype html>" not in answer
    assert answer.count(b"HTTP/1.1 200 ") == 1


def chunked(trailers: bytes, headers: bytes = b"") -> bytes:
    head = (
        b"POST /v1/brands/%d/sms HTTP/1.1\r\nhost: a\r\nconnection: close\r\n%stransfer-encoding: chunked\r\n\r\n"
        % (BRAND, headers)
    )
    return head + b"2\r\n{}\r\n0\r\n" + trailers + b"\r\n"


async def test_trailers_are_no_headers(served: Served) -> None:
    """A proxy may hand them on, while it has set or removed the headers of that name."""
    key = b"authorization: Bearer %s\r\n" % served.key.encode()
    with_key_behind = await served.raw(chunked(key))
    assert reason_of(with_key_behind) == (b"401", "KEY_MISSING")
    other_type_behind = await served.raw(
        chunked(b"content-type: text/plain\r\n", key + b"content-type: application/json\r\n")
    )
    assert reason_of(other_type_behind) == (b"400", "INVALID_REQUEST")


@pytest.mark.parametrize(
    "endless", [b"x: " + b"a" * 30_000 + b"\r\n", b"x: a\r\n" * 5_000, b"a" * 30_000], ids=["long", "many", "one"]
)
async def test_endless_trailers_are_not_kept(served: Served, endless: bytes) -> None:
    key = b"authorization: Bearer %s\r\n" % served.key.encode()
    unfinished = chunked(b"", key).removesuffix(b"\r\n")
    assert reason_of(await served.raw(unfinished + endless * 100)) == (b"431", "HEAD_TOO_LARGE")


async def test_an_endless_extension_of_a_chunk_is_not_kept(served: Served) -> None:
    key = b"authorization: Bearer %s\r\n" % served.key.encode()
    head = chunked(b"", key).partition(b"2\r\n{")[0]
    assert reason_of(await served.raw(head + b"2;" + b"a" * 4_000_000)) == (b"431", "HEAD_TOO_LARGE")


async def test_what_is_wrong_after_an_early_answer_has_no_second_one(served: Served) -> None:
    head = chunked(b"").partition(b"2\r\n{")[0].replace(b"connection: close\r\n", b"")
    assert reason_of(await served.raw(head + b"2;" + b"a" * 4_000_000, wait_seconds=10)) == (b"401", "KEY_MISSING")


async def test_caller_that_leaves_in_its_body_does_no_harm(serve: ServeGateway) -> None:
    served = await serve(requests_in_flight_max=1)
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = f"POST /v1/brands/{BRAND}/sms HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {served.key}\r\n"
        writer.write(head.encode() + b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    async def has_place() -> bool:
        async with served.http.get(f"/v1/brands/{BRAND}/sms", headers=served.headers()) as response:
            return response.status == 200

    await eventually(has_place)


async def test_caller_that_waits_for_leave_to_send_its_body_gets_it(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    body = json.dumps(SEND).encode()
    head = f"POST /v1/brands/{BRAND}/sms HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {served.key}\r\n"
    writer.write(
        f"{head}expect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_connection_is_kept_after_the_answer_to_head(served: Served) -> None:
    last = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    answer = await served.raw(b"HEAD /healthz HTTP/1.1\r\nhost: a\r\n\r\n" + last)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.count(b'{"status":"alive"}') == 1
