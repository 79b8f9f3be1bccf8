from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.messagecenter_rmq.chain import Chain, running_chain


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """Keep log lines as they are, for tests that read them."""
    with capture_logs() as lines:
        yield lines


@pytest_asyncio.fixture
async def chain(tmp_path: Path, logs: list[EventDict]) -> AsyncIterator[Chain]:  # noqa: ARG001  # silent meanwhile
    """Start everything between an app and Tencent."""
    async with running_chain(tmp_path) as running:
        yield running
