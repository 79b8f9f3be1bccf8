from __future__ import annotations

import time

import pytest

from mesh.bus.memory import MemoryBus
from tests.mesh.bus.conformance import BusConformance, PassSeconds


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now_ms = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self._now_ms

    async def pass_seconds(self, seconds: float) -> None:
        self._now_ms += int(seconds * 1000)


class TestMemoryBus(BusConformance):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def bus(self, clock: ManualClock) -> MemoryBus:
        return MemoryBus(clock, visibility_seconds_min=1)

    @pytest.fixture
    def pass_seconds(self, clock: ManualClock) -> PassSeconds:
        return clock.pass_seconds
