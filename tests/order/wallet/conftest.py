from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.order.wallet.harness import Till, open_till


@pytest_asyncio.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    async with open_till(tmp_path) as one:
        yield one
