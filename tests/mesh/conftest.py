"""One Redis or Valkey server for all tests of mesh, empty at the start of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

from mesh.redis_connection import connect_redis
from tests.redis_server import shared_redis

if TYPE_CHECKING:
    import pytest
    from redis.asyncio import Redis


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with shared_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect_redis(redis_url, "tests")
    await client.flushall()
    yield client
    await client.aclose()
