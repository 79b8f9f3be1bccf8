from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chain.harness import Chain, running_chain


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chain]:
    """One mesh of real processes for all tests that leave it as it was.

    The others have meshes of their own, beside it: each with `own_redis`, for this one's may be the server that the
    tests run on, which is emptied for it.
    """
    state: Path = tmp_path_factory.mktemp("mesh")
    async with running_chain(state, FAST) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def healed(chain: Chain) -> AsyncIterator[Chain]:
    """The mesh with a provider that behaves, before and after."""
    await chain.heal()
    yield chain
    await chain.heal()


FAST = {
    "gateway": {"BRANDMESH_RATE_PER_SECOND": "10000", "BRANDMESH_RATE_BURST": "10000"},
    "sandbox": {"BRANDMESH_SANDBOX_CHUANGLAN_PUSH_RETRY_SECONDS": "1"},
    "sms_rmq": {"BRANDMESH_CLAIM_LEASE_SECONDS": "5", "BRANDMESH_SUBMIT_LEASE_SECONDS": "30"},
    "messagecenter_rmq": {"BRANDMESH_SEND_TIMEOUT_SECONDS": "6", "BRANDMESH_LEASE_SECONDS": "12"},
    "costcenter_rmq": {"BRANDMESH_REPLAY_AFTER_SECONDS": "3", "BRANDMESH_SWEEP_SECONDS": "1"},
}
"""Short times, so that what heals itself does so within a test."""
