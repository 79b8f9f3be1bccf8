from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from mesh.bus.connect import connect_bus
from mesh.bus.memory import MemoryBus
from mesh.bus.port import Bus, BusUnavailableError, Depth, Message
from mesh.loopback import free_port
from mesh.testing import eventually
from meshctl.queue_exporter import LABELS, QueueCollector, QueueState, brand_and_kind, read_queues, refresh
from tests.redis_server import shared_redis

SECONDS_MAX = 20.0


def value(collector: QueueCollector, name: str, queue: str, *rest: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry.get_sample_value(name, dict(zip(LABELS, (queue, *rest), strict=True)))


def plain(collector: QueueCollector, name: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry.get_sample_value(name)


@pytest.mark.parametrize(
    ("queue", "brand", "kind"),
    [
        ("sms.send.1001.verification.single", 1001, "verification"),
        ("sms.send.7.marketing.batch", 7, "marketing"),
        ("im.call.1002", 1002, "im_call"),
        ("sms.send.1001.marketing.batch.dead", 1001, "dead"),
        ("costcenter.release", 0, "costcenter.release"),
        ("message.order.paid.dead", 0, "dead"),
        ("sms.send.01.marketing.batch", 0, "sms.send.01.marketing.batch"),
    ],
)
def test_brand_and_kind_are_read_off_the_name(queue: str, brand: int, kind: str) -> None:
    assert brand_and_kind(queue) == (brand, kind)


async def test_each_queue_is_told_of_with_its_brand_and_kind() -> None:
    bus = MemoryBus()
    queue = "sms.send.1001.verification.single"
    await bus.publish(queue, [Message(b"1"), Message(b"2"), Message(b"3")])
    await bus.publish(queue, [Message(b"4")], delay_seconds=60)
    await bus.receive(queue, 1, 10)
    await bus.ensure("im.call.1002")
    collector = QueueCollector(frozenset({1001}), queues_max=10)
    await refresh(bus, collector)
    own = (queue, "1001", "verification", "own")
    assert value(collector, "brandmesh_queue_ready", *own) == 2
    assert value(collector, "brandmesh_queue_in_flight", *own) == 1
    assert value(collector, "brandmesh_queue_delayed", *own) == 1
    assert cast("float", value(collector, "brandmesh_queue_oldest_age_seconds", *own)) >= 0
    assert value(collector, "brandmesh_queue_ready", "im.call.1002", "1002", "im_call", "shared") == 0
    assert plain(collector, "brandmesh_queues_readable") == 1


def test_of_too_many_queues_the_fullest_are_told_of() -> None:
    def state(name: str, ready: int) -> QueueState:
        return QueueState(name, 0, name, Depth(ready, 0, 0, 0.0))

    collector = QueueCollector(frozenset(), queues_max=2)
    collector.show([state("a", 0), state("b", 9), state("c", 0), state("d", 1)])
    assert value(collector, "brandmesh_queue_ready", "b", "", "b", "shared") == 9
    assert value(collector, "brandmesh_queue_ready", "d", "", "d", "shared") == 1
    assert value(collector, "brandmesh_queue_ready", "a", "", "a", "shared") is None
    assert plain(collector, "brandmesh_queues_left_out") == 2


class AwayBus(MemoryBus):
    async def queues(self, prefix: str) -> list[str]:
        raise BusUnavailableError(prefix)


async def test_an_old_look_is_not_shown_while_the_bus_is_away() -> None:
    collector = QueueCollector(frozenset(), queues_max=10)
    bus: Bus = MemoryBus()
    await bus.ensure("message.order.paid")
    collector.show(await read_queues(bus))
    assert plain(collector, "brandmesh_queues_readable") == 1
    with pytest.raises(BusUnavailableError):
        await refresh(AwayBus(), collector)
    assert plain(collector, "brandmesh_queues_readable") == 0
    assert value(collector, "brandmesh_queue_ready", "message.order.paid", "", "message.order.paid", "shared") is None


async def test_the_process_serves_what_is_on_a_real_server(tmp_path: Path) -> None:
    async with shared_redis(tmp_path) as redis_url:
        bus = connect_bus("", redis_url, consumer="tests")
        await bus.publish("im.call.1001", [Message(b"1"), Message(b"2")])
        await bus.close()
        port = free_port()
        environment = {
            **os.environ,
            "BRANDMESH_REDIS_URL": redis_url,
            "BRANDMESH_METRICS_PORT": str(port),
            "BRANDMESH_READ_SECONDS": "0.1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "meshctl.queue_exporter", "--except-brands=7", "--except-brands=1001", env=environment
        )
        try:
            wanted = 'brandmesh_queue_ready{brand="1001",consumers="own",kind="im_call",queue="im.call.1001"} 2.0'
            await eventually(lambda: wanted in _metrics(port), SECONDS_MAX)
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), SECONDS_MAX) == 0


def _metrics(port: int) -> str:
    """What the process serves; nothing while it does not listen yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return cast("bytes", answer.read()).decode()
    except OSError:
        return ""
