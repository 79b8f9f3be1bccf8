"""How full and how old the queues are, as Prometheus gauges: what consumers are scaled by, brand by brand.

Run one of it with `python -m meshctl.queue_exporter`; `--help` lists the settings. It takes no message.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import Field

from mesh.bus.connect import connect_bus
from mesh.bus.port import DEAD_SUFFIX, Bus, BusUnavailableError, Depth
from mesh.periodic import Periodic
from mesh.process import run
from mesh.settings import CommaSeparated, ProcessSettings

DEAD_KIND = "dead"
IM_CALL_KIND = "im_call"
OWN_CONSUMERS = "own"
SHARED_CONSUMERS = "shared"

LABELS = ("queue", "brand", "kind", "consumers")

_SMS_QUEUE = re.compile(r"sms\.send\.(?P<brand>[1-9][0-9]{0,15})\.(?P<kind>[a-z]+)\.[a-z]+")
_IM_QUEUE = re.compile(r"im\.call\.(?P<brand>[1-9][0-9]{0,15})")
_DEPTHS_AT_ONCE = 8
_READ_JITTER = 0.1

BrandId = Annotated[int, Field(gt=0)]


class Settings(ProcessSettings):
    """Settings of the queue exporter."""

    metrics_port: int = Field(9100, ge=1, le=65535, description="Port on the metrics host that serves Prometheus")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey")
    bus_url: str = Field("", description="Where queues live; empty: streams on redis_url")
    except_brands: CommaSeparated[frozenset[BrandId]] = Field(
        frozenset(), description="Brands with consumers of their own, as the shared consumers are told"
    )
    read_seconds: float = Field(10.0, gt=0, le=600, description="Pause between two looks at the queues")
    queues_max: int = Field(5000, ge=1, le=100_000, description="Queues that are told of, the fullest first")


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue at one moment. `brand` is 0 where the queue is no brand's."""

    queue: str
    brand: int
    kind: str
    depth: Depth

    @property
    def messages(self) -> int:
        """All that is in it."""
        return self.depth.ready + self.depth.in_flight + self.depth.delayed


def brand_and_kind(queue: str) -> tuple[int, str]:
    """Read off a queue's name whose it is, and what it carries: an SMS type, `im_call`, `dead`, or the name itself."""
    name = queue.removesuffix(DEAD_SUFFIX)
    found = _SMS_QUEUE.fullmatch(name) or _IM_QUEUE.fullmatch(name)
    brand = int(found["brand"]) if found else 0
    if queue.endswith(DEAD_SUFFIX):
        return brand, DEAD_KIND
    if found is None:
        return brand, name
    return brand, found.groupdict().get("kind", IM_CALL_KIND)


async def read_queues(bus: Bus) -> list[QueueState]:
    """Look at every queue. Raises BusUnavailableError."""
    turns = asyncio.Semaphore(_DEPTHS_AT_ONCE)

    async def read(queue: str) -> QueueState:
        async with turns:
            return QueueState(queue, *brand_and_kind(queue), await bus.depth(queue))

    return await asyncio.gather(*(read(queue) for queue in await bus.queues("")))


class QueueCollector(Collector):
    """The last look at the queues, for Prometheus. Without one there are no series: an old depth would be a lie."""

    def __init__(self, own_brands: frozenset[int], queues_max: int) -> None:
        self._own_brands = own_brands
        self._queues_max = queues_max
        self._states: list[QueueState] | None = None
        self._left_out = 0

    def show(self, states: Iterable[QueueState]) -> None:
        """Take a new look for the last one. Of too many queues the fullest are kept."""
        fullest_first = sorted(states, key=lambda state: (-state.messages, state.queue))
        self._states = fullest_first[: self._queues_max]
        self._left_out = len(fullest_first) - len(self._states)

    def forget(self) -> None:
        """Know nothing, because the queues cannot be looked at."""
        self._states, self._left_out = None, 0

    def collect(self) -> Iterator[Metric]:
        """Answer the gauges."""
        states = self._states or []
        yield _gauge("brandmesh_queues_readable", "1 while the queues can be looked at", self._states is not None)
        yield _gauge("brandmesh_queues_left_out", "Queues beyond queues_max, not told of", self._left_out)
        families = {
            "ready": GaugeMetricFamily("brandmesh_queue_ready", "Messages that wait for a consumer", labels=LABELS),
            "delayed": GaugeMetricFamily("brandmesh_queue_delayed", "Messages that wait for their time", labels=LABELS),
            "in_flight": GaugeMetricFamily("brandmesh_queue_in_flight", "Messages at a consumer", labels=LABELS),
            "oldest_age_seconds": GaugeMetricFamily(
                "brandmesh_queue_oldest_age_seconds", "Age of the oldest message that is not settled", labels=LABELS
            ),
        }
        for state in states:
            labels = (state.queue, str(state.brand or ""), state.kind, self._consumers(state.brand))
            for field, family in families.items():
                family.add_metric(labels, getattr(state.depth, field))
        yield from families.values()

    def _consumers(self, brand: int) -> str:
        return OWN_CONSUMERS if brand in self._own_brands else SHARED_CONSUMERS


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


async def refresh(bus: Bus, collector: QueueCollector) -> None:
    """Look at the queues once. Raises BusUnavailableError, with nothing shown any more."""
    try:
        collector.show(await read_queues(bus))
    except BusUnavailableError:
        collector.forget()
        raise


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Export until `stop` is set."""
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="queue_exporter")
    collector = QueueCollector(settings.except_brands, settings.queues_max)
    REGISTRY.register(collector)
    try:
        job = Periodic("read_queues", lambda: refresh(bus, collector), settings.read_seconds, _READ_JITTER)
        await job.run(stop)
    finally:
        REGISTRY.unregister(collector)
        await bus.close()


if __name__ == "__main__":
    run(Settings, main, "queue_exporter")
