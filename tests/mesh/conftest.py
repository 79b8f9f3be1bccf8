"""One Valkey server for all tests of mesh, empty at the start of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

from mesh.embedded_valkey import EmbeddedValkey
from mesh.redis_connection import connect_redis

if TYPE_CHECKING:
    import pytest
    from redis.asyncio import Redis


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedValkey]:
    server = await EmbeddedValkey.start(tmp_path_factory.mktemp("valkey"))
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def redis(valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    client = connect_redis(valkey.url, "tests")
    await client.flushall()
    yield client
    await client.aclose()
