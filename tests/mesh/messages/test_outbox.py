"""What a service writes is on the bus once it is committed, and again until its consumer is known to have it."""

from __future__ import annotations

import asyncio
import time

import grpc
import orjson
import pytest

from mesh.bus.port import BusUnavailableError
from mesh.errors import DomainError
from mesh.messages import Outbox
from mesh.messages import outbox as outbox_module
from mesh.messages.domain import BODY_CHARACTERS_MAX, KEPT_MS_PRODUCED, ProducedStatus
from mesh.testing import eventually
from tests.mesh.messages.harness import QUEUE, Post, SwitchedBus, cancelled, orders, produced

HOUR_MS = 3_600_000


async def statuses(post: Post) -> list[ProducedStatus]:
    return [ProducedStatus(row.msg_status) for row in await post.rows(produced)]


async def has_settled(post: Post) -> bool:
    return set(await statuses(post)) == {ProducedStatus.SETTLED}


async def pause_ms(post: Post) -> int:
    """How long until the one message is published again."""
    async with post.database.read() as connection:
        now_ms = await post.database.now_ms(connection)
    return int((await post.only(produced)).due_at_ms) - now_ms


class TestWriting:
    async def test_002_11_a_message_is_one_transaction_with_what_it_tells_of(self, post: Post) -> None:
        async def write_and_fail() -> None:
            async with post.database.write() as connection:
                await connection.execute(orders.insert().values(order_id="1"))
                await post.outbox.add(connection, [cancelled(1)])
                raise RuntimeError("crash")

        with pytest.raises(RuntimeError, match="crash"):
            await write_and_fail()
        await post.outbox.publish()
        assert await post.rows(orders) == await post.rows(produced) == await post.take() == []

    async def test_the_columns_are_those_of_the_source(self, post: Post) -> None:
        await post.write(cancelled(7, body={"why": "没有钱"}))
        row = await post.only(produced)
        assert (row.group_name, row.msg_topic, row.msg_tag, row.msg_key) == ("store", "order", "cancelled", "7")
        assert orjson.loads(row.msg_body) == {"why": "没有钱"}
        assert (row.msg_status, row.publish_times) == (0, 0)

    async def test_002_13_a_body_that_is_too_long_is_refused_and_nothing_is_written(self, post: Post) -> None:
        with pytest.raises(ValueError, match="over 4000 characters"):
            await post.write(cancelled(1), cancelled(2, body={"text": "长" * BODY_CHARACTERS_MAX}))
        assert await post.rows(orders) == await post.rows(produced) == []

    async def test_002_13_the_longest_body_arrives_whole(self, post: Post) -> None:
        text = "😀" * (BODY_CHARACTERS_MAX - len('{"text":""}'))
        await post.send(cancelled(1, body={"text": text}))
        async with post.consuming():
            await eventually(lambda: has_settled(post))
        assert orjson.loads((await post.only(produced)).msg_body) == {"text": text}
        assert await post.counted() == {"1": 1}

    async def test_no_messages_are_no_rows(self, post: Post) -> None:
        await post.send()
        assert await post.rows(produced) == []


class TestPublishing:
    async def test_a_message_is_published_after_its_transaction_and_marked(self, post: Post) -> None:
        await post.send(cancelled(1), cancelled(2))
        (first, second) = await post.take()
        row = (await post.rows(produced))[0]
        assert orjson.loads(first.body) == {
            "producer": "shop",
            "msg_id": row.id,
            "msg_topic": "order",
            "msg_tag": "cancelled",
            "msg_key": "1",
            "msg_body": "{}",
        }
        assert orjson.loads(second.body)["msg_key"] == "2"
        assert await statuses(post) == [ProducedStatus.PUBLISHED] * 2
        assert row.publish_times == 1

    async def test_002_11_while_the_bus_is_away_it_stays_and_the_sweep_sends_it(
        self, post: Post, bus: SwitchedBus
    ) -> None:
        bus.is_away = True
        await post.send(cancelled(1))
        assert await statuses(post) == [ProducedStatus.PENDING]
        with pytest.raises(DomainError, match="BUS_UNAVAILABLE") as refusal:
            await post.sweep()
        assert refusal.value.code is grpc.StatusCode.UNAVAILABLE
        assert (await post.only(produced)).publish_times == 0
        bus.is_away = False
        assert await post.sweep() == 1
        assert await statuses(post) == [ProducedStatus.PUBLISHED]
        assert await post.keys_taken() == ["1"]

    async def test_a_queue_that_takes_nothing_keeps_nothing_from_the_others(
        self, post: Post, bus: SwitchedBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even where its messages alone are as many as a pass takes, and have been due for longer."""
        monkeypatch.setattr(outbox_module, "PUBLISH_MAX", 4)
        monkeypatch.setattr(outbox_module, "PUT_OFF_MS", 60_000)
        bus.queue_away = "message.order.shipped.store"
        await post.send(*(cancelled(number, tag="shipped") for number in range(4)))
        await post.send(cancelled(4))
        await post.pass_time(60_000)
        await post.sweep()
        await post.send(cancelled(5))
        assert await post.keys_taken() == ["4", "4", "5"]
        assert await statuses(post) == [ProducedStatus.PENDING] * 4 + [ProducedStatus.PUBLISHED] * 2
        bus.queue_away = ""
        await post.pass_time(60_000)
        assert await post.sweep() == 6
        assert (await bus.depth("message.order.shipped.store")).ready == 4

    async def test_a_crash_between_commit_and_publish_is_made_up_for_by_the_sweep(self, post: Post) -> None:
        await post.write(cancelled(1))
        assert await post.sweep() == 1
        assert await post.keys_taken() == ["1"]

    async def test_a_publication_whose_answer_is_lost_is_a_duplicate_and_no_loss(
        self, post: Post, bus: SwitchedBus
    ) -> None:
        publish = bus.publish

        async def publish_and_break(*arguments: object) -> None:
            await publish(*arguments)  # type: ignore[arg-type]
            raise BusUnavailableError("the answer got lost")

        bus.publish = publish_and_break  # type: ignore[method-assign, assignment]
        await post.send(cancelled(1))
        bus.publish = publish  # type: ignore[method-assign]
        assert await statuses(post) == [ProducedStatus.PENDING]
        assert await post.sweep() == 1
        assert (await bus.depth(QUEUE)).ready == 2
        async with post.consuming():
            await eventually(lambda: has_settled(post))
        assert await post.counted() == {"1": 1}

    async def test_a_message_that_was_lost_is_sent_again_after_pauses_that_double(self, post: Post) -> None:
        await post.send(cancelled(1))
        pauses = []
        for _ in range(9):
            pause = await pause_ms(post)
            pauses.append(pause)
            assert await post.sweep() == 0
            await post.pass_time(pause)
            assert await post.sweep() == 1
        expected = [minutes * 60_000 for minutes in (1, 1, 2, 4, 8, 16, 32, 60, 60)]
        assert pauses == pytest.approx(expected, rel=0.1)
        assert (await post.only(produced)).publish_times == 10
        assert await post.keys_taken() == ["1"] * 10

    async def test_a_settled_message_is_never_sent_again(self, post: Post) -> None:
        await post.send(cancelled(1), cancelled(2))
        first, second = [row.id for row in await post.rows(produced)]
        await post.outbox.settle([first], [])
        await post.pass_time(24 * HOUR_MS)
        assert await post.sweep() == 1
        assert await post.keys_taken() == ["1", "2", "2"]
        await post.outbox.settle([second], [])
        await post.pass_time(24 * HOUR_MS)
        assert await post.sweep() == 0

    async def test_a_message_that_is_settled_before_it_is_marked_stays_settled(
        self, post: Post, bus: SwitchedBus
    ) -> None:
        await post.write(cancelled(1))
        row = await post.only(produced)
        publish = bus.publish

        async def publish_and_settle(*arguments: object) -> None:
            await publish(*arguments)  # type: ignore[arg-type]
            await post.outbox.settle([row.id], [])

        bus.publish = publish_and_settle  # type: ignore[method-assign, assignment]
        await post.outbox.publish()
        assert await statuses(post) == [ProducedStatus.SETTLED]

    async def test_a_delay_is_kept(self, post: Post, bus: SwitchedBus) -> None:
        started_ms = time.time_ns() // 1_000_000
        await post.send(cancelled(1, delay_seconds=1.5), cancelled(2))
        assert await post.keys_taken() == ["2"]
        assert (await bus.depth(QUEUE)).delayed == 1
        late = (await post.rows(produced))[0]
        assert 59_000 < late.due_at_ms - late.deliver_at_ms <= 60_000
        assert late.deliver_at_ms - late.create_time_ms == 1500
        await bus.wait_ready([QUEUE], 5)
        assert await post.keys_taken() == ["1"]
        assert time.time_ns() // 1_000_000 - started_ms >= 1500

    async def test_a_delayed_message_that_is_sent_late_has_only_the_rest_of_its_delay(self, post: Post) -> None:
        await post.write(cancelled(1, delay_seconds=600))
        await post.pass_time(601_000)
        assert await post.sweep() == 1
        assert await post.keys_taken() == ["1"]

    async def test_delays_that_end_in_one_second_are_one_call_of_the_bus(self, post: Post, bus: SwitchedBus) -> None:
        for number in range(10):
            await post.write(cancelled(number, delay_seconds=600.9 + number / 1000))
        await post.outbox.publish()
        assert bus.calls <= 2
        assert (await bus.depth(QUEUE)).delayed == 10

    async def test_a_pass_is_bounded_and_takes_the_longest_due_first(self, post: Post) -> None:
        await post.write(*(cancelled(number) for number in range(5)))
        await post.pass_time(1000)
        await post.write(cancelled("later"))
        assert await post.sweep(messages_max=3) == 3
        assert await post.keys_taken() == ["0", "1", "2"]
        assert await post.sweep(messages_max=3) == 3
        assert await post.keys_taken() == ["3", "4", "later"]

    async def test_many_writers_at_once_have_all_theirs_published(self, post: Post) -> None:
        await asyncio.gather(*(post.send(cancelled(number)) for number in range(60)))
        assert sorted(map(int, await post.keys_taken())) == list(range(60))
        assert await statuses(post) == [ProducedStatus.PUBLISHED] * 60

    async def test_two_processes_publish_all_and_neither_undoes_the_other(self, post: Post, bus: SwitchedBus) -> None:
        other = Outbox(post.database, bus, "shop", produced)
        await post.write(*(cancelled(number) for number in range(600)))
        await asyncio.gather(post.outbox.publish(), other.publish())
        await other.close()
        keys = await post.keys_taken() + await post.keys_taken()
        assert set(map(int, keys)) == set(range(600))
        assert set(await statuses(post)) == {ProducedStatus.PUBLISHED}

    async def test_one_that_is_closed_leaves_messages_to_the_sweep(self, post: Post) -> None:
        await post.outbox.close()
        await post.send(cancelled(1))
        assert await statuses(post) == [ProducedStatus.PENDING]
        assert await post.sweep() == 1


class TestSettling:
    async def test_a_thousand_at_once(self, post: Post) -> None:
        await post.write(*(cancelled(number) for number in range(1000)))
        ids = [row.id for row in await post.rows(produced)]
        await post.outbox.settle(ids[:700], ids[700:])
        assert await statuses(post) == [ProducedStatus.SETTLED] * 700 + [ProducedStatus.STOPPED] * 300

    async def test_what_was_applied_is_settled_whatever_became_of_its_copies(self, post: Post) -> None:
        await post.write(cancelled(1))
        row = await post.only(produced)
        await post.outbox.settle([], [row.id])
        assert await statuses(post) == [ProducedStatus.STOPPED]
        await post.outbox.settle([row.id], [row.id])
        assert await statuses(post) == [ProducedStatus.SETTLED]
        await post.outbox.settle([], [row.id])
        assert await statuses(post) == [ProducedStatus.SETTLED]

    async def test_unknown_ids_are_passed_over(self, post: Post) -> None:
        await post.outbox.settle([1 << 60], [1])
        assert await post.rows(produced) == []

    async def test_settling_and_publishing_at_once_do_not_hinder_each_other(self, post: Post) -> None:
        await post.write(*(cancelled(number) for number in range(300)))
        ids = [row.id for row in await post.rows(produced)]
        await asyncio.gather(
            post.outbox.publish(), post.outbox.settle(ids[::-1], []), post.outbox.settle(ids[::3], []), post.sweep()
        )
        assert await statuses(post) == [ProducedStatus.SETTLED] * 300


class TestForgetting:
    async def test_removes_what_was_settled_long_ago_and_nothing_else(self, post: Post) -> None:
        await post.send(*(cancelled(number) for number in range(5)))
        await post.outbox.settle([row.id for row in (await post.rows(produced))[:3]], [])
        await post.outbox.settle([], [(await post.rows(produced))[3].id])
        assert await post.forget() == 0
        await post.pass_time(KEPT_MS_PRODUCED + HOUR_MS)
        await post.send(cancelled("new"))
        await post.outbox.settle([(await post.rows(produced))[-1].id], [])
        assert await post.forget(rows_max=2) == 2
        assert await post.forget(rows_max=2) == 1
        assert await post.forget() == 0
        assert [row.msg_key for row in await post.rows(produced)] == ["3", "4", "new"]

    async def test_a_message_never_has_the_number_of_one_that_was_forgotten(self, post: Post) -> None:
        """Its consumer remembers that number for longer, and would take it for what it has applied already."""
        async with post.consuming():
            await post.send(cancelled("old"))
            await eventually(lambda: has_settled(post))
            await post.pass_time(KEPT_MS_PRODUCED + HOUR_MS)
            assert await post.forget() == 1
            assert await post.rows(produced) == []
            await post.send(cancelled("new"))
            await eventually(lambda: has_settled(post))
        assert await post.counted() == {"old": 1, "new": 1}
