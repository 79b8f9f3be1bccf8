"""The bus on a RocketMQ that stands at `BRANDMESH_TEST_ROCKETMQ_URL`; its proxy must take a visibility of a second."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.mesh.bus.conformance import BusConformance, PassSeconds

if TYPE_CHECKING:
    from redis.asyncio import Redis


pytest.importorskip("rocketmq", reason="brandmesh[rocketmq] is not installed")

from mesh.bus.rocketmq.bus import RocketMqBus
from mesh.bus.rocketmq.deployment import Deployment
from mesh.redis_connection import connect_redis

URL = os.environ.get("BRANDMESH_TEST_ROCKETMQ_URL", "")

LATENESS_SECONDS = 1.3
"""Delays are rounded up to whole seconds, and what was lost is looked for twice a second."""

needs_rocketmq = pytest.mark.skipif(not URL, reason="BRANDMESH_TEST_ROCKETMQ_URL names no server")


def connect(redis_url: str, **changes: object) -> RocketMqBus:
    """Make a bus with topics of its own."""
    name = f"test{secrets.token_hex(4)}"
    deployment = replace(Deployment.from_url(URL), **{"name": name, **changes})  # type: ignore[arg-type]  # by name
    return RocketMqBus(deployment, connect_redis(redis_url, "tests"), "tests", visibility_seconds_min=1)


@pytest_asyncio.fixture
async def bus(redis_url: str, redis: Redis) -> AsyncIterator[RocketMqBus]:
    await redis.ping()
    bus = connect(redis_url)
    yield bus
    await bus.close()


@needs_rocketmq
class TestRocketMqBus(BusConformance):
    late_settlements_count = False

    @pytest.fixture
    def pass_seconds(self) -> PassSeconds:
        async def pass_seconds(seconds: float) -> None:
            await asyncio.sleep(seconds + LATENESS_SECONDS)

        return pass_seconds
