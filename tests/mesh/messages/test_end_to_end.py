"""From the row of one service to the effect in another: on a bus in memory, and on the streams of a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
import pytest_asyncio
import sqlalchemy as sa
from redis.asyncio import Redis

from brandmesh.messaging.v1 import messaging_pb2 as pb
from mesh.bus.port import DEAD_REASON_HEADER, Bus, Delivery, Message
from mesh.bus.redis_streams import RedisStreamsBus
from mesh.errors import DomainError
from mesh.forwarding import Forwarding
from mesh.messages.domain import ConsumedStatus, ProducedStatus
from mesh.redis_connection import connect_redis
from mesh.testing import eventually
from mesh.worker import Dead, Done, Retry
from tests.mesh.messages.harness import (
    ATTEMPTS_MAX,
    QUEUE,
    Post,
    SwitchedBus,
    cancelled,
    consumed,
    counts,
    open_post,
    produced,
)

REFUSED = DomainError(grpc.StatusCode.FAILED_PRECONDITION, "COINS_SHORT", "too few")
AWAY = DomainError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "away")
VALID = {
    "producer": "shop",
    "msg_id": 1000,
    "msg_topic": "order",
    "msg_tag": "cancelled",
    "msg_key": "1",
    "msg_body": "{}",
}


@asynccontextmanager
async def streams(redis_url: str) -> AsyncIterator[Bus]:
    bus = RedisStreamsBus(connect_redis(redis_url, "messages"), visibility_seconds_min=1)
    yield bus
    await bus.close()


@pytest_asyncio.fixture(params=["memory", "streams"])
async def post(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, redis: Redis) -> AsyncIterator[Post]:
    assert await redis.dbsize() == 0
    if request.param == "memory":
        async with open_post(tmp_path, SwitchedBus()) as opened:
            yield opened
    else:
        async with streams(redis_url) as bus, open_post(tmp_path, bus) as opened:
            yield opened


async def all_are(post: Post, table: sa.Table, column: str, status: int) -> bool:
    rows = await post.rows(table)
    return bool(rows) and {getattr(row, column) for row in rows} == {status}


async def has_settled(post: Post) -> bool:
    return await all_are(post, produced, "msg_status", ProducedStatus.SETTLED)


async def has_stopped(post: Post) -> bool:
    return await all_are(post, produced, "msg_status", ProducedStatus.STOPPED)


async def letters(post: Post, count: int) -> Sequence[Delivery]:
    found = await post.bus.list_dead(QUEUE, 10)
    return found if len(found) == count else ()


def reasons(dead: Sequence[Delivery]) -> list[str]:
    return [letter.headers[DEAD_REASON_HEADER] for letter in dead]


async def test_a_message_goes_all_the_way(post: Post) -> None:
    async with post.consuming():
        await post.send(*(cancelled(number) for number in range(150)))
        await eventually(lambda: has_settled(post))
    assert await post.counted() == {str(number): 1 for number in range(150)}
    assert (await post.bus.depth(QUEUE)).ready == 0


async def test_what_is_published_many_times_has_one_effect(post: Post) -> None:
    await post.send(*(cancelled(number) for number in range(20)))
    for _ in range(3):
        await post.pass_time(7_200_000)
        assert await post.sweep() == 20
    async with post.consuming():
        await eventually(lambda: has_settled(post))
        await eventually(lambda: is_idle(post))
    assert await post.counted() == {str(number): 1 for number in range(20)}


async def is_idle(post: Post) -> bool:
    depth = await post.bus.depth(QUEUE)
    return depth.ready == depth.in_flight == depth.delayed == 0


async def test_002_09_a_message_that_stops_is_visible_and_is_requeued(post: Post) -> None:
    post.store.refuse = lambda message: REFUSED if message.key == "bad" else None
    async with post.consuming():
        await post.send(cancelled("bad"), cancelled("good"))
        assert reasons(await eventually(lambda: letters(post, 1))) == ["COINS_SHORT: too few"]
        request = pb.ListProducedMessagesRequest(service="shop", status=pb.PRODUCED_STATUS_STOPPED)
        (shown,) = (await post.peer.call(post.stub.ListProducedMessages, request)).messages
        assert (shown.message.msg_key, shown.group_name, shown.publish_times) == ("bad", "store", 1)
        failed = next(row for row in await post.rows(consumed) if row.msg_key == "bad")
        assert (failed.consumer_status, failed.consumer_times) == (ConsumedStatus.FAILED, ATTEMPTS_MAX)
        assert await post.counted() == {"good": 1}

        post.store.refuse = lambda _: None
        await post.requeue(shown.message.msg_id)
        await eventually(lambda: has_settled(post))
        assert await post.counted() == {"good": 1, "bad": 1}
        # The dead letter is a copy, and may be brought back too.
        assert await post.bus.requeue_dead(QUEUE, 10) == 1
        await eventually(lambda: is_idle(post))
        assert await post.counted() == {"good": 1, "bad": 1}


async def test_a_stopped_message_is_not_swept(post: Post) -> None:
    post.store.refuse = lambda _: REFUSED
    async with post.consuming():
        await post.send(cancelled(1))
        await eventually(lambda: has_stopped(post))
    await post.pass_time(7_200_000)
    assert await post.sweep() == 0


async def test_only_a_stopped_message_can_be_requeued(post: Post) -> None:
    await post.send(cancelled(1))
    msg_id = (await post.only(produced)).id
    with pytest.raises(DomainError, match=r"MESSAGE_NOT_STOPPED.*is PUBLISHED"):
        await post.requeue(msg_id)
    with pytest.raises(DomainError, match="MESSAGE_NOT_FOUND"):
        await post.requeue(msg_id + 1)
    with pytest.raises(DomainError, match="SERVICE_NOT_HERE"):
        await post.requeue(msg_id, service="store")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff{", "cannot be read"),
        (b"[1]", "cannot be read"),
        (b"null", "cannot be read"),
        (orjson.dumps({**VALID, "colour": "red"}), "cannot be read"),
        (orjson.dumps({**VALID, "msg_id": 0}), "is not valid: INVALID_REQUEST: messages[0].msg_id"),
        (orjson.dumps({**VALID, "msg_key": ""}), "is not valid: INVALID_REQUEST: messages[0].msg_key"),
        (orjson.dumps({**VALID, "msg_body": "x" * 4001}), "is not valid: INVALID_REQUEST: messages[0].msg_body"),
        (orjson.dumps({**VALID, "msg_tag": "frobnicated"}), "store does not know order.frobnicated"),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter_with_its_reason_and_blocks_nothing(
    post: Post, body: bytes, reason: str
) -> None:
    await post.bus.publish(QUEUE, [Message(body)])
    await post.send(*(cancelled(f"good-{number}") for number in range(5)))
    await post.bus.publish(QUEUE, [Message(body)])
    async with post.consuming():
        dead = await eventually(lambda: letters(post, 2))
        assert all(one.startswith(reason) for one in reasons(dead)), reasons(dead)
        await eventually(lambda: has_settled(post))
        await eventually(lambda: is_idle(post))
    assert await post.counted() == {f"good-{number}": 1 for number in range(5)}


async def test_messages_for_a_service_that_is_nowhere_are_dead_letters(post: Post) -> None:
    await post.bus.publish("message.order.cancelled.nowhere", [Message(orjson.dumps(VALID))])
    async with post.consuming():
        (letter,) = await eventually(lambda: post.bus.list_dead("message.order.cancelled.nowhere", 10))
    assert reasons([letter]) == ["there is no service nowhere"]


async def test_an_outage_costs_no_attempt(post: Post) -> None:
    tries: list[str] = []

    def away_at_first(message: Any) -> Exception | None:
        tries.append(message.key)
        return AWAY if len(tries) <= ATTEMPTS_MAX + 2 else None

    post.store.refuse = away_at_first
    async with post.consuming():
        await post.send(cancelled(1))
        await eventually(lambda: has_settled(post), timeout_seconds=60)
    assert await post.counted() == {"1": 1}
    assert (await post.only(consumed)).consumer_times == 1
    assert await post.bus.list_dead(QUEUE, 10) == []


class TestForwarding:
    """One batch, by hand."""

    async def handle(self, post: Post, forwarding: Forwarding) -> Sequence[object]:
        deliveries = await post.bus.receive(QUEUE, 10, 30)
        return await forwarding.handle(QUEUE, deliveries)

    async def test_a_producer_that_is_away_is_told_when_the_message_comes_again(self, post: Post) -> None:
        alone = Forwarding({"store": post.peer}.__getitem__)
        await post.send(cancelled(1))
        assert await self.handle(post, alone) == [Done()]
        assert (await post.only(produced)).msg_status == ProducedStatus.PUBLISHED
        await post.pass_time(61_000)
        assert await post.sweep() == 1
        assert await self.handle(post, post.forwarding) == [Done()]
        assert await has_settled(post)
        assert await post.counted() == {"1": 1}

    async def test_a_crash_between_effect_and_ack_has_no_further_effect(self, post: Post) -> None:
        await post.send(cancelled(1))
        (delivery,) = await post.bus.receive(QUEUE, 10, 30)
        assert await post.forwarding.handle(QUEUE, [delivery]) == [Done()]
        assert await post.forwarding.handle(QUEUE, [delivery]) == [Done()]
        assert [row.times for row in await post.rows(counts)] == [1]

    async def test_each_message_gets_its_own_outcome(self, post: Post) -> None:
        post.store.refuse = lambda message: {"1": REFUSED, "2": ValueError("unreadable")}.get(message.key)
        await post.send(cancelled(0), cancelled(1), cancelled(2))
        assert await self.handle(post, post.forwarding) == [
            Done(),
            Retry("COINS_SHORT: too few"),
            Dead("unreadable"),
        ]
        statuses = [row.msg_status for row in await post.rows(produced)]
        assert statuses == [ProducedStatus.SETTLED, ProducedStatus.PUBLISHED, ProducedStatus.STOPPED]

    async def test_a_message_that_is_not_valid_stops_and_is_not_published_again(self, post: Post) -> None:
        await post.send(cancelled(""), cancelled(1))
        (bad, good) = await post.bus.receive(QUEUE, 10, 30)
        (outcome,) = await post.forwarding.handle(QUEUE, [bad])
        assert isinstance(outcome, Dead)
        assert await post.forwarding.handle(QUEUE, [good]) == [Done()]
        statuses = [row.msg_status for row in await post.rows(produced)]
        assert statuses == [ProducedStatus.STOPPED, ProducedStatus.SETTLED]

    async def test_a_message_for_a_service_that_is_nowhere_waits_for_one_that_requeues_it(self, post: Post) -> None:
        await post.send(cancelled(1))
        nowhere = Forwarding({"shop": post.peer}.__getitem__)
        assert await self.handle(post, nowhere) == [Dead("there is no service store")]
        await post.pass_time(7_200_000)
        assert await post.sweep() == 0
        await post.requeue((await post.only(produced)).id)
        assert await self.handle(post, post.forwarding) == [Done()]
        assert await has_settled(post)
