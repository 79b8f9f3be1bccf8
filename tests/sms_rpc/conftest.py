from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.sms_rpc.harness import SmsMesh
from tests.sms_rpc.running import running_sms


@pytest_asyncio.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[SmsMesh]:
    """Start both services, with one brand that has credits."""
    async with running_sms(tmp_path) as running:
        await running.open_brand()
        yield running
