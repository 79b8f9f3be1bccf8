from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.databases import empty_database
from tests.txim_rpc.harness import Txim, make_settings, running_txim
from tests.txim_rpc.tencent_server import TencentServer, running_tencent
from txim_rpc.tables import metadata
from txim_rpc.wiring import MIGRATIONS

StartTxim = Callable[..., Awaitable[Txim]]


@pytest_asyncio.fixture
async def tencent() -> AsyncIterator[TencentServer]:
    async with running_tencent() as server:
        yield server


@pytest_asyncio.fixture
async def database_url(tmp_path: Path) -> str:
    return await empty_database(tmp_path, "txim", (MIGRATIONS, metadata))


@pytest_asyncio.fixture
async def start(database_url: str, tencent: TencentServer) -> AsyncIterator[StartTxim]:
    """Start the service with other settings than the usual ones."""
    async with AsyncExitStack() as stack:

        async def begin(**changes: Any) -> Txim:
            return await stack.enter_async_context(running_txim(make_settings(database_url, tencent.url, **changes)))

        yield begin


@pytest_asyncio.fixture
async def txim(start: StartTxim) -> Txim:
    return await start()
