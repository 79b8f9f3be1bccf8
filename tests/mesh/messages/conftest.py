"""Two services and a bus in memory, on whatever database the suite runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.mesh.messages.harness import Post, SwitchedBus, open_post


@pytest_asyncio.fixture
async def bus() -> SwitchedBus:
    return SwitchedBus()


@pytest_asyncio.fixture
async def post(tmp_path: Path, bus: SwitchedBus) -> AsyncIterator[Post]:
    async with open_post(tmp_path, bus) as opened:
        yield opened
