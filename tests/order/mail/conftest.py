from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mesh.redis_connection import connect_redis
from tests.order.mail.harness import Post, open_post
from tests.redis_server import shared_redis


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with shared_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest_asyncio.fixture
async def empty_redis_url(redis_url: str) -> AsyncIterator[str]:
    client = connect_redis(redis_url, "tests")
    await client.flushall()
    await client.aclose()
    yield redis_url


@pytest_asyncio.fixture
async def post(empty_redis_url: str) -> AsyncIterator[Post]:
    async with open_post(empty_redis_url) as one:
        yield one
