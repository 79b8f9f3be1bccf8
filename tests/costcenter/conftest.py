from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.costcenter.harness import BRAND, OTHER_BRAND, Center, prepare, running
from tests.costcenter.rpc import Rpc, serving


@pytest_asyncio.fixture
async def center(tmp_path: Path) -> AsyncIterator[Center]:
    """A cost center with two empty accounts; sound after each test."""
    async with running(await prepare(tmp_path)) as parts:
        await parts.open(BRAND, OTHER_BRAND)
        yield parts
        await parts.is_sound()


@pytest_asyncio.fixture
async def rpc(center: Center) -> AsyncIterator[Rpc]:
    """The same, served."""
    async with serving(center) as served:
        yield served
