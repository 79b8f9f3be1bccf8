from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.sms_rpc.harness import SmsMesh
from tests.sms_rpc.running import running_sms


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """Keep log lines as they are: writing those of a failed request of thousands of phones out takes seconds."""
    with capture_logs() as lines:
        yield lines


@pytest_asyncio.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[SmsMesh]:
    """Start both services, with one brand that has credits."""
    async with running_sms(tmp_path) as running:
        await running.open_brand()
        yield running
