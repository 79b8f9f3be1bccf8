from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.messagecenter_rpc.harness import MessageCenter
from tests.messagecenter_rpc.running import running


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


@pytest_asyncio.fixture
async def center(tmp_path: Path) -> AsyncIterator[MessageCenter]:
    async with running(tmp_path) as parts:
        yield parts
