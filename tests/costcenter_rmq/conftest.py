from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.sms_rpc.harness import SmsMesh
from tests.sms_rpc.running import running_sms


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


@pytest_asyncio.fixture
async def mesh(tmp_path: Path, logs: list[EventDict]) -> AsyncIterator[SmsMesh]:  # noqa: ARG001  # silent meanwhile
    """Start the cost center, with one brand that has credits."""
    async with running_sms(tmp_path) as running:
        await running.open_brand()
        yield running
