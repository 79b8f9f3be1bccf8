"""The Redis that tests run on: the embedded Valkey, or a real Redis where the environment names one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from engines.redis import Redis
from mesh.embedded_valkey import EmbeddedValkey

SERVER_URL = os.environ.get("BRANDMESH_TEST_REDIS_URL", "")
"""A Redis that the tests may empty. Empty: the embedded Valkey."""


class RedisServer(Protocol):
    """A server of a test's own."""

    @property
    def url(self) -> str: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...


async def start_redis(directory: Path, url: str = "") -> RedisServer:
    """Start a server of the kind that the tests run on; `url` is where an earlier one on the directory was."""
    port = urlsplit(url).port or 0
    return await (Redis().start(directory, port) if SERVER_URL else EmbeddedValkey.start(directory, port))


@asynccontextmanager
async def shared_redis(directory: Path) -> AsyncIterator[str]:
    """A server that tests share; answer its URL."""
    if SERVER_URL:
        yield SERVER_URL
        return
    server = await EmbeddedValkey.start(directory)
    yield server.url
    await server.stop()
