"""What a bus on RocketMQ keeps when the broker or the proxy is killed: on a server of the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from engines.engine import EngineMissingError
from mesh.bus.port import BusUnavailableError, Delivery, Message
from mesh.testing import eventually
from tests.mesh.bus.conformance import bodies, messages, receive_all
from tests.mesh.bus.test_rocketmq import connect, needs_rocketmq

if TYPE_CHECKING:
    from engines.rocketmq import RocketMqServer
    from mesh.bus.rocketmq.bus import RocketMqBus

pytestmark = [needs_rocketmq, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

RECOVERY_SECONDS_MAX = 60.0
FORGOTTEN_SECONDS = 6.0
"""A killed broker forgets what it delivered in its last five seconds, and delivers that again."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RocketMqServer]:
    from engines.rocketmq import RocketMq  # noqa: PLC0415  # where RocketMQ's client is installed

    try:
        server = await RocketMq(visibility_seconds_min=1).start(tmp_path_factory.mktemp("rocketmq"))
    except EngineMissingError as error:
        pytest.skip(str(error))
    yield server
    await server.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def bus(server: RocketMqServer, redis_url: str) -> AsyncIterator[RocketMqBus]:
    bus = connect(redis_url, url=server.url)
    await bus.ensure("q")
    # A proxy believes for seconds what it saw while the test before had a part killed.
    await eventually(lambda: _is_served(bus), RECOVERY_SECONDS_MAX)
    yield bus
    await bus.close()


@pytest.mark.parametrize("part", ["broker", "proxy"])
async def test_nothing_is_lost_with_a_part(server: RocketMqServer, bus: RocketMqBus, part: str) -> None:
    await bus.publish("q", messages("done", "flight", "nacked", "dead", "ready"))
    await bus.publish("q", messages("delayed"), delay_seconds=5)
    done, _, nacked, dead = await bus.receive("q", 4, 10)
    await bus.ack([done])
    await bus.nack(nacked, 2)
    await bus.dead(dead, "no use")
    await crash(server, part)
    with pytest.raises(BusUnavailableError):
        await bus.publish("q", messages("refused"))
    await restart(server, part)
    found = await receive_all(bus, "q", {"flight", "nacked", "ready", "delayed"}, RECOVERY_SECONDS_MAX)
    assert bodies(await bus.list_dead("q", 10)) == ["dead"]
    if part == "proxy":
        # A killed broker delivers again what it forgot.
        assert found == {"flight": 2, "nacked": 2, "ready": 1, "delayed": 1}


async def test_what_a_killed_broker_holds_is_not_taken_for_lost(server: RocketMqServer, bus: RocketMqBus) -> None:
    await bus.publish("q", messages("done", "dead"))
    done, dead = await bus.receive("q", 2, 60)
    await asyncio.sleep(FORGOTTEN_SECONDS)
    await server.kill_broker()
    # Until the proxy has noticed, it cannot reach the broker; from then on it does not know where it is.
    await eventually(lambda: _is_said_not_to_be_found(bus, done), RECOVERY_SECONDS_MAX)
    for settling in (bus.ack([done]), bus.nack(dead, 1), bus.extend([dead], 60), bus.dead(dead, "no use")):
        with pytest.raises(BusUnavailableError):
            await settling
    await server.restart_broker()
    await eventually(lambda: _is_done(bus.ack([done])), RECOVERY_SECONDS_MAX)
    await eventually(lambda: _is_done(bus.dead(dead, "no use")), RECOVERY_SECONDS_MAX)
    assert bodies(await bus.list_dead("q", 10)) == ["dead"]


async def test_whatever_was_published_through_a_crash_arrives(server: RocketMqServer, bus: RocketMqBus) -> None:
    accepted: set[str] = set()
    stop = asyncio.Event()

    async def publish() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                await bus.publish("q", [Message(f"{number}".encode())])
                accepted.add(f"{number}")
            except BusUnavailableError:
                await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        group.create_task(publish())
        for part in ("broker", "proxy"):
            await _more(accepted)
            await crash(server, part)
            await restart(server, part)
        await _more(accepted)
        stop.set()
    await receive_all(bus, "q", accepted, RECOVERY_SECONDS_MAX)


async def crash(server: RocketMqServer, part: str) -> None:
    await (server.kill_broker() if part == "broker" else server.kill_proxy())


async def restart(server: RocketMqServer, part: str) -> None:
    await (server.restart_broker() if part == "broker" else server.restart_proxy())


async def _is_said_not_to_be_found(bus: RocketMqBus, delivery: Delivery) -> bool:
    try:
        await bus.ack([delivery])
    except BusUnavailableError as error:
        return "cannot find broker" in str(error)
    return False


async def _is_done(call: Awaitable[None]) -> bool:
    try:
        await call
    except BusUnavailableError:
        return False
    return True


async def _is_served(bus: RocketMqBus) -> bool:
    try:
        await bus.publish("served", messages("served"))
        received = await bus.receive("served", 1, 1)
        await bus.ack(received)
    except BusUnavailableError:
        return False
    return bool(received)


async def _more(accepted: set[str]) -> None:
    """Wait until 50 more messages have been accepted."""
    enough = len(accepted) + 50
    await eventually(lambda: len(accepted) >= enough, RECOVERY_SECONDS_MAX)
