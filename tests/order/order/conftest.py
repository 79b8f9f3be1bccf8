from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.order.order.shop import Shop, running_shop


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with running_shop(tmp_path) as running:
        yield running
