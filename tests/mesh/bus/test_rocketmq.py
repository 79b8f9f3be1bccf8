"""The bus on a RocketMQ that stands at `BRANDMESH_TEST_ROCKETMQ_URL`; its proxy must take a visibility of a second."""

from __future__ import annotations

import asyncio
import os
import secrets
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mesh.bus.connect import connect_bus
from mesh.bus.envelope import new_message_id
from mesh.bus.port import BusUnavailableError, Delivery, Depth
from mesh.testing import eventually
from tests.mesh.bus.conformance import HIDDEN_SECONDS, BusConformance, PassSeconds, bodies, messages, receive_one

if TYPE_CHECKING:
    from redis.asyncio import Redis


if find_spec("rocketmq") is None:
    pytest.skip("brandmesh[rocketmq] is not installed", allow_module_level=True)

from mesh.bus.rocketmq.bus import RocketMqBus
from mesh.bus.rocketmq.deployment import Deployment
from mesh.bus.rocketmq.held import Held
from mesh.bus.rocketmq.index import LOOKS_IN_VAIN_MAX, Aside
from mesh.bus.rocketmq.letter import Letter
from mesh.bus.rocketmq.names import TopicNames
from mesh.bus.rocketmq.protocol import definition
from mesh.bus.rocketmq.proxy import Receipt, check
from mesh.bus.rocketmq.stored_message import StoredMessage, read_messages
from mesh.redis_connection import connect_redis

URL = os.environ.get("BRANDMESH_TEST_ROCKETMQ_URL", "")

LATENESS_SECONDS = 1.3
"""Delays are rounded up to whole seconds, and what was lost is looked for twice a second."""

needs_rocketmq = pytest.mark.skipif(not URL, reason="BRANDMESH_TEST_ROCKETMQ_URL names no server")


def connect(redis_url: str, url: str = URL, delay_seconds_max: float = 24 * 3600) -> RocketMqBus:
    """Make a bus with topics of its own."""
    name = f"test{secrets.token_hex(4)}"
    deployment = replace(Deployment.from_url(url), name=name, delay_seconds_max=delay_seconds_max)
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


@needs_rocketmq
async def test_a_delay_beyond_the_brokers_limit_is_made_of_several(redis_url: str, redis: Redis) -> None:
    await redis.ping()
    bus = connect(redis_url, delay_seconds_max=1)
    started = time.monotonic()
    await bus.publish("q", messages("later"), delay_seconds=5)
    while time.monotonic() - started < 4:
        assert await bus.receive("q", 10, HIDDEN_SECONDS) == []
        await asyncio.sleep(0.2)
    (later,) = await eventually(lambda: bus.receive("q", 10, HIDDEN_SECONDS))
    assert (later.body, later.attempt) == (b"later", 1)
    assert 4.9 <= time.monotonic() - started < 7
    await bus.ack([later])
    assert await bus.depth("q") == Depth(0, 0, 0, 0)
    await bus.close()


@needs_rocketmq
class TestLostHints:
    async def test_the_slow_look_finds_messages_that_no_hint_names(self, bus: RocketMqBus, redis: Redis) -> None:
        await bus.publish("never.read", messages("a", "b"))
        await bus.publish("read", messages("c", "d"))
        await bus.ack([await receive_one(bus, "read")])
        await redis.flushall()
        assert await bus.queues("") == []
        assert await bus.wait_ready(["read", "never."], 0) == set()
        assert await bus._watch.look() == 2
        assert await bus.queues("") == ["never.read", "read"]
        assert await bus.wait_ready(["read", "never."], 5) == {"read", "never.read"}
        assert bodies(await bus.receive("never.read", 10, HIDDEN_SECONDS)) == ["a", "b"]
        assert bodies(await bus.receive("read", 10, HIDDEN_SECONDS)) == ["d"]
        assert await bus._watch.look() == 0

    async def test_a_hint_about_nothing_is_forgotten(self, bus: RocketMqBus) -> None:
        await bus.ensure("q")
        await bus._index.published("q", 1, int(time.time() * 1000), 0)
        looks = 0
        while (await bus.depth("q")).ready:
            assert looks <= LOOKS_IN_VAIN_MAX
            assert await bus.receive("q", 1, HIDDEN_SECONDS) == []
            looks += 1
        assert await bus.depth("q") == Depth(0, 0, 0, 0)
        assert await bus.wait_ready(["q"], 0) == set()

    async def test_messages_go_on_after_the_index_is_lost(self, bus: RocketMqBus, redis: Redis) -> None:
        await bus.publish("q", messages("a", "b"))
        first, second = await bus.receive("q", 2, HIDDEN_SECONDS)
        await redis.flushall()
        await redis.script_flush()
        await bus.ack([first])
        await bus.nack(second, 0)
        await bus.publish("q", messages("c"))
        assert await bus.wait_ready(["q"], 5) == {"q"}
        found: set[str] = set()

        async def take() -> bool:
            found.update(bodies(await bus.receive("q", 10, HIDDEN_SECONDS)))
            return found == {"b", "c"}

        await eventually(take)


@needs_rocketmq
async def test_many_idle_queues_cost_nothing(bus: RocketMqBus) -> None:
    await bus.ensure("busy")
    await bus._index.add_queues([f"idle.{number}" for number in range(10_000)])
    await bus.publish("busy", messages("x"))
    started = time.monotonic()
    for _ in range(20):
        assert await bus.wait_ready(["idle."], 0) == set()
    assert await bus.wait_ready(["idle.", "busy"], 0) == {"busy"}
    assert time.monotonic() - started < 1


@needs_rocketmq
async def test_lost_handles_are_not_kept_for_ever(bus: RocketMqBus) -> None:
    holdings = bus._holdings
    for number in range(5000):
        delivery = Delivery("q", "m", b"", {}, 1, 0, handle=f"{number}")
        holdings.add(delivery, Held(Receipt("m", "r"), Aside(until_ms=number, published_at_ms=0)), now_ms=number + 100)
    assert len(holdings._held) <= 1100


async def test_an_absent_server_is_said_to_be_away(redis_url: str, redis: Redis) -> None:
    await redis.ping()
    deployment = Deployment("127.0.0.1:1", ("127.0.0.1:1",), name="absent")
    bus = RocketMqBus(deployment, connect_redis(redis_url, "tests"), "tests")
    with pytest.raises(BusUnavailableError, match=r"127\.0\.0\.1:1"):
        await bus.publish("q", messages("x"))
    await bus.close()


def test_importing_the_client_leaves_home_alone(tmp_path: Path) -> None:
    code = "import logging, mesh.bus.rocketmq.bus as _; print(logging.getLogger('rocketmq-python-client').handlers)"
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


class TestNames:
    @pytest.mark.parametrize(
        ("queue", "topic"),
        [
            ("sms.send.7.code.single", "mesh_sms_send_7_code_single"),
            ("sms.a.dead", "mesh_sms_a_dead"),
            ("a_b", "mesh_a%5Fb"),
            ("50%", "mesh_50%25"),
            ("鸡 é", "mesh_%E9%B8%A1%20%C3%A9"),
        ],
    )
    def test_a_queue_has_a_topic_and_back(self, queue: str, topic: str) -> None:
        names = TopicNames("mesh")
        assert names.topic(queue) == topic
        assert names.queue(topic) == queue

    @pytest.mark.parametrize(
        ("queue", "group"),
        [
            ("sms.send.7.verification.single", "mesh_sms_send_verification_single"),
            ("sms.send.12.verification.single", "mesh_sms_send_verification_single"),
            ("sms.send.12.marketing.single.dead", "mesh_sms_send_marketing_single_dead"),
            ("order.paid", "mesh_order_paid"),
            ("7", "mesh_"),
        ],
    )
    def test_queues_that_differ_in_numbers_have_one_group(self, queue: str, group: str) -> None:
        names = TopicNames("mesh")
        assert names.group(names.topic(queue)) == group

    def test_topics_of_others_are_no_queues(self) -> None:
        assert TopicNames("mesh").queue("mesh2_q") is None
        assert TopicNames("mesh").queue("%RETRY%mesh-workers_mesh_q") is None

    def test_a_name_that_is_too_long_is_refused(self) -> None:
        with pytest.raises(ValueError, match="128 characters, at most 127"):
            TopicNames("mesh").topic("q" * 123)


class TestUrl:
    async def test_connects_by_its_scheme(self) -> None:
        bus = connect_bus("rocketmq://127.0.0.1:1?namesrv=127.0.0.1:1", "redis://127.0.0.1:1/0", "tests")
        assert isinstance(bus, RocketMqBus)
        await bus.close()

    def test_all_of_it(self) -> None:
        url = "rocketmq://proxy:8081?namesrv=n1:9876,n2:9876&cluster=c&name=shop&delay_hours_max=168"
        assert Deployment.from_url(url) == Deployment(
            "proxy:8081", ("n1:9876", "n2:9876"), "c", "shop", delay_seconds_max=168 * 3600
        )

    def test_the_least_of_it(self) -> None:
        deployment = Deployment.from_url("rocketmq://proxy:8081?namesrv=n1:9876")
        assert deployment == Deployment("proxy:8081", ("n1:9876",))

    @pytest.mark.parametrize(
        ("url", "what"),
        [
            ("rocketmq://proxy:8081", "namesrv must name"),
            ("rocketmq://proxy:8081?namesrv=n1", "namesrv must name"),
            ("rocketmq://?namesrv=n1:1", "is not rocketmq://HOST:PORT"),
            ("rocketmq://p:1?namesrv=n1:1&clutser=c", "namesrv, cluster, name, delay_hours_max"),
            ("rocketmq://p:1?namesrv=n1:1&delay_hours_max=0", "whole number above 0"),
        ],
    )
    def test_a_wrong_one_is_refused(self, url: str, what: str) -> None:
        with pytest.raises(ValueError, match=what):
            Deployment.from_url(url)


def test_reads_messages_as_a_broker_stores_them() -> None:
    def stored(offset: int, body: bytes, properties: bytes, flag: int = 0) -> bytes:
        head = struct.pack(">iiiiqqiq", -626843481, 0, 0, 0, offset, 0, flag, 0)
        hosts = bytes(20 if flag & 0x10 else 8) + bytes(8) + bytes(20 if flag & 0x20 else 8)
        tail = struct.pack(">iqi", 0, 0, len(body)) + body + b"\x01T" + struct.pack(">h", len(properties)) + properties
        rest = head + hosts + tail
        return struct.pack(">i", 4 + len(rest)) + rest

    both = stored(7, b"a", b"k\x01v\x02UNIQ_KEY\x01x") + stored(8, zlib.compress(b"b"), b"", flag=0x31)
    assert list(read_messages(both)) == [
        StoredMessage(7, b"a", {"k": "v", "UNIQ_KEY": "x"}),
        StoredMessage(8, b"b", {}),
    ]


NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(("limit_seconds", "has_to_wait_on"), [(3, True), (10, False), (11, False)])
def test_whether_a_copy_waits_on_is_said_by_itself_and_by_no_clock(limit_seconds: int, has_to_wait_on: bool) -> None:
    letter = Letter.new(messages("later")[0], new_message_id(), NOW_MS, delay_seconds=9)
    outgoing = letter.outgoing(delay_seconds_max=limit_seconds, now_ms=NOW_MS)
    assert Letter.read("", outgoing.body, outgoing.properties, NOW_MS).has_to_wait_on is has_to_wait_on


def test_a_copy_without_a_delay_has_nothing_to_wait_for() -> None:
    outgoing = Letter.new(messages("now")[0], new_message_id(), NOW_MS, delay_seconds=0).outgoing(3, NOW_MS)
    assert outgoing.deliver_at_ms is None
    assert not Letter.read("", outgoing.body, outgoing.properties, NOW_MS).has_to_wait_on


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("MESSAGE_PROPERTY_CONFLICT_WITH_TYPE", "the expected type is UNSPECIFIED, but actual", BusUnavailableError),
        ("MESSAGE_PROPERTY_CONFLICT_WITH_TYPE", "the expected type is FIFO, but actual type is NORMAL", ValueError),
        ("MESSAGE_BODY_TOO_LARGE", "", ValueError),
        ("TOO_MANY_REQUESTS", "", BusUnavailableError),
        ("INTERNAL_SERVER_ERROR", "", BusUnavailableError),
    ],
)
def test_what_may_pass_is_told_apart_from_what_will_not(code: str, message: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=code):
        check(definition.Status(code=definition.Code.Value(code), message=message))
