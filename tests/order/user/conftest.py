from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.order.user.harness import Accounts, running_accounts


@pytest_asyncio.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[Accounts]:
    async with running_accounts(tmp_path) as running:
        yield running
