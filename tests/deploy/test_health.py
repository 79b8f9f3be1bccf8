"""The health check that runs inside a container."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

SCRIPT = Path(__file__).parents[2] / "deploy" / "health.py"
NOBODY = "127.0.0.1:1"


def check(*arguments: str) -> int:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], check=False, timeout=30, capture_output=True
    ).returncode


@pytest.fixture
def http_address() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: what is asked is known."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def grpc_server() -> Iterator[tuple[str, HealthServicer]]:
    health = HealthServicer()
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", health
    server.stop(None).wait()


async def test_a_service_is_well_while_it_says_that_it_serves(grpc_server: tuple[str, HealthServicer]) -> None:
    address, health = grpc_server
    health.set("", health_pb2.HealthCheckResponse.SERVING)
    assert await asyncio.to_thread(check, f"grpc://{address}") == 0
    health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert await asyncio.to_thread(check, f"grpc://{address}") == 1


def test_http_is_well_when_it_answers_200(http_address: str) -> None:
    assert check(f"http://{http_address}/healthz") == 0
    assert check(f"http://{http_address}/readyz") == 1


@pytest.mark.parametrize("url", [f"grpc://{NOBODY}", f"http://{NOBODY}/healthz"])
def test_what_does_not_answer_is_not_well(url: str) -> None:
    assert check(url) == 1


@pytest.mark.parametrize("arguments", [(), ("ftp://127.0.0.1",), ("http://a", "http://b")])
def test_what_cannot_be_asked_is_refused(arguments: tuple[str, ...]) -> None:
    assert check(*arguments) == 2
