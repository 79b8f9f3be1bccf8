"""What a bus on a RocketMQ of two masters goes on with when one of them is killed: on a server of the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from engines.engine import EngineMissingError
from mesh.bus.port import BusUnavailableError, Message
from mesh.testing import eventually
from tests.mesh.bus.conformance import messages, receive_all
from tests.mesh.bus.test_rocketmq import connect, needs_rocketmq

if TYPE_CHECKING:
    from engines.rocketmq import RocketMqServer
    from mesh.bus.rocketmq.bus import RocketMqBus

pytestmark = [needs_rocketmq, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

GOING_ON_SECONDS_MAX = 60.0
RECOVERY_SECONDS_MAX = 90.0
"""Hints about what the dead master held may be forgotten by then; the slow look finds it, every half minute."""

LOST = 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RocketMqServer]:
    from engines.rocketmq import RocketMq  # noqa: PLC0415  # where RocketMQ's client is installed

    try:
        server = await RocketMq(visibility_seconds_min=1, masters=2).start(tmp_path_factory.mktemp("rocketmq"))
    except EngineMissingError as error:
        pytest.skip(str(error))
    yield server
    await server.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def bus(server: RocketMqServer, redis_url: str) -> AsyncIterator[RocketMqBus]:
    bus = connect(redis_url, url=server.url)
    yield bus
    await bus.close()


@dataclass(slots=True)
class Traffic:
    """Messages that somebody publishes, one at a time and each until it is accepted, and somebody else receives."""

    bus: RocketMqBus
    accepted: set[str] = field(default_factory=set)
    received: set[str] = field(default_factory=set)

    async def more(self, number: int, seconds_max: float) -> None:
        """Wait until that many more messages were accepted, and as many others received."""
        accepted, received = len(self.accepted) + number, len(self.received) + number
        await eventually(lambda: len(self.accepted) >= accepted and len(self.received) >= received, seconds_max)

    async def publish(self, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            try:
                await self.bus.publish("load", [Message(f"{number}".encode())])
            except BusUnavailableError:
                await asyncio.sleep(0.05)
                continue
            self.accepted.add(f"{number}")
            number += 1

    async def receive(self) -> None:
        while True:
            try:
                for queue in await self.bus.wait_ready(["load"], 1):
                    deliveries = await self.bus.receive(queue, 100, 10)
                    self.received.update(delivery.body.decode() for delivery in deliveries)
                    await self.bus.ack(deliveries)
            except BusUnavailableError:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def traffic(bus: RocketMqBus) -> AsyncIterator[Traffic]:
    """Publish and receive until the end of the block, and then until all that was accepted is received."""
    traffic, stop = Traffic(bus), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        publishing = group.create_task(traffic.publish(stop))
        receiving = group.create_task(traffic.receive())
        yield traffic
        stop.set()
        await publishing
        await eventually(lambda: traffic.accepted <= traffic.received, RECOVERY_SECONDS_MAX)
        receiving.cancel()


async def test_each_master_takes_its_part(bus: RocketMqBus) -> None:
    sent = {f"{number}" for number in range(20)}
    for body in sent:
        await bus.publish("q", messages(body))
    parts = {one.broker for one in await bus._brokers.offsets([bus._topics.of("q")]) if one.end}
    assert parts == {"broker-a", "broker-b"}
    assert (await receive_all(bus, "q", sent, GOING_ON_SECONDS_MAX)).keys() == sent


async def test_one_that_is_killed_stops_nobody_and_loses_nothing(server: RocketMqServer, bus: RocketMqBus) -> None:
    async with traffic(bus) as running:
        await running.more(100, GOING_ON_SECONDS_MAX)
        delayed = {f"delayed-{number}" for number in range(20)}
        await bus.publish("load", messages(*delayed), delay_seconds=5)
        running.accepted |= delayed
        await server.kill_broker(LOST)
        await running.more(200, GOING_ON_SECONDS_MAX)
        await eventually(lambda: bool(delayed & running.received), GOING_ON_SECONDS_MAX)
        assert not delayed <= running.received, "the dead one held nothing"
        await server.restart_broker(LOST)
        await running.more(100, GOING_ON_SECONDS_MAX)


async def test_one_that_hangs_stops_nobody(server: RocketMqServer, bus: RocketMqBus) -> None:
    async with traffic(bus) as running:
        await running.more(100, GOING_ON_SECONDS_MAX)
        server.freeze_broker(LOST)
        try:
            await running.more(200, GOING_ON_SECONDS_MAX)
        finally:
            server.thaw_broker(LOST)
        await running.more(100, GOING_ON_SECONDS_MAX)


async def test_a_queue_made_without_one_of_them_has_both_later(server: RocketMqServer, bus: RocketMqBus) -> None:
    await server.kill_broker(LOST)

    async def publish() -> bool:
        try:
            await bus.publish("load", messages("first"))
        except BusUnavailableError:
            return False
        return True

    await eventually(publish, GOING_ON_SECONDS_MAX)
    await server.restart_broker(LOST)
    async with traffic(bus) as running:
        await running.more(50, GOING_ON_SECONDS_MAX)
    assert "first" in running.received
