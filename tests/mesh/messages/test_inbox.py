"""A message has its effect once, in one transaction with the row that says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import grpc
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from brandmesh.messaging.v1 import messaging_pb2 as pb
from mesh.errors import DomainError
from mesh.messages import Inbox, NewMessage, Outbox, ReceivedMessage
from mesh.messages.domain import KEPT_MS_CONSUMED, ConsumedStatus
from mesh.messages.inbox import Consumed
from tests.mesh.messages.harness import ATTEMPTS_MAX, Post, cancelled, consumed, count_order, produced, received

REFUSED = DomainError(grpc.StatusCode.FAILED_PRECONDITION, "COINS_SHORT", "金币不足")
AWAY = DomainError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "away")
SUCCEEDED = Consumed(ConsumedStatus.SUCCEEDED)


class TestEffects:
    async def test_a_message_has_its_effect_and_a_row(self, post: Post) -> None:
        assert await post.inbox.consume([received(5, "7", body_text='{"a": 1}')]) == [SUCCEEDED]
        assert await post.counted() == {"7": 1}
        row = await post.only(consumed)
        assert (row.producer, row.msg_id, row.msg_topic, row.msg_tag, row.msg_key, row.msg_body) == (
            "shop", 5, "order", "cancelled", "7", '{"a": 1}',
        )  # fmt: skip
        assert (row.consumer_status, row.consumer_times, row.remark) == (1, 1, "")

    async def test_a_duplicate_has_none(self, post: Post) -> None:
        for _ in range(3):
            assert await post.inbox.consume([received(1), received(1), received(2)]) == [SUCCEEDED] * 3
        assert await post.counted() == {"1": 1, "2": 1}
        assert [row.consumer_times for row in await post.rows(consumed)] == [1, 1]

    async def test_messages_of_two_producers_with_one_number_are_two(self, post: Post) -> None:
        await post.inbox.consume([received(1, "a"), received(1, "b", producer="payment")])
        assert await post.counted() == {"a": 1, "b": 1}

    async def test_duplicates_at_once_have_one_effect_and_none_is_in_the_way_of_another(self, post: Post) -> None:
        for first in range(1, 101, 20):
            batches = [random.sample(range(first, first + 20), 12) for _ in range(6)]
            calls = (post.inbox.consume([received(msg_id) for msg_id in batch]) for batch in batches)
            assert await asyncio.gather(*calls) == [[SUCCEEDED] * 12] * 6
        assert set((await post.counted()).values()) == {1}

    async def test_a_thousand_in_one_call(self, post: Post) -> None:
        messages = [received(msg_id, msg_id % 10) for msg_id in range(1, 1001)]
        assert await post.inbox.consume(messages) == [SUCCEEDED] * 1000
        assert await post.counted() == {str(digit): 100 for digit in range(10)}

    async def test_002_09_a_crash_in_between_leaves_neither_effect_nor_row(self, post: Post) -> None:
        reached = asyncio.Event()

        async def hang() -> None:
            reached.set()
            await asyncio.Event().wait()

        post.store.before_commit = hang
        consuming = asyncio.create_task(post.inbox.consume([received(1)]))
        await reached.wait()
        consuming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consuming
        assert await post.counted() == {}
        assert await post.rows(consumed) == []
        post.store.before_commit = None
        assert await post.inbox.consume([received(1)]) == [SUCCEEDED]
        assert await post.counted() == {"1": 1}

    async def test_what_an_effect_writes_to_the_outbox_is_published_after_it(self, post: Post) -> None:
        outbox = Outbox(post.database, post.bus, "store", produced)

        async def answer(connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
            await outbox.add(connection, [NewMessage("shop", "stock", "released", one.key) for one in messages])

        inbox = Inbox(post.database, "store", consumed, {("order", "cancelled"): answer}, outbox=outbox)
        await inbox.consume([received(1)])
        assert (await post.bus.depth("message.stock.released.shop")).ready == 1
        await outbox.close()

    async def test_where_no_effect_writes_to_the_outbox_nothing_is_looked_for(self, post: Post) -> None:
        await post.write(cancelled(7))
        inbox = Inbox(post.database, "store", consumed, {("order", "cancelled"): post.store.count}, outbox=post.outbox)
        assert await inbox.consume([received(1)]) == [SUCCEEDED]
        assert (await post.only(produced)).publish_times == 0


class TestRefusals:
    async def test_002_09_a_refused_message_is_counted_up_to_the_limit_and_stays_visible(self, post: Post) -> None:
        post.store.refuse = lambda _: REFUSED
        for attempt in range(1, ATTEMPTS_MAX):
            (result,) = await post.inbox.consume([received(1)])
            assert result == Consumed(ConsumedStatus.PROCESSING, "COINS_SHORT: 金币不足")
            row = await post.only(consumed)
            assert (row.consumer_status, row.consumer_times, row.remark) == (0, attempt, "COINS_SHORT: 金币不足")
        (result,) = await post.inbox.consume([received(1)])
        assert result.status is ConsumedStatus.FAILED
        row = await post.only(consumed)
        assert (row.consumer_status, row.consumer_times, row.remark) == (2, ATTEMPTS_MAX, "COINS_SHORT: 金币不足")
        assert await post.counted() == {}

    async def test_a_copy_of_one_that_was_given_up_does_not_begin_anew(self, post: Post) -> None:
        post.store.refuse = lambda _: REFUSED
        for _ in range(ATTEMPTS_MAX):
            await post.inbox.consume([received(1)])
        for extra in (1, 2):
            (result,) = await post.inbox.consume([received(1)])
            assert result.status is ConsumedStatus.FAILED
            assert (await post.only(consumed)).consumer_times == ATTEMPTS_MAX + extra

    async def test_one_that_was_given_up_succeeds_when_its_cause_is_gone(self, post: Post) -> None:
        post.store.refuse = lambda _: REFUSED
        for _ in range(ATTEMPTS_MAX):
            await post.inbox.consume([received(1)])
        post.store.refuse = lambda _: None
        assert await post.inbox.consume([received(1)]) == [SUCCEEDED]
        row = await post.only(consumed)
        assert (row.consumer_status, row.consumer_times, row.remark) == (1, ATTEMPTS_MAX + 1, "")
        assert await post.counted() == {"1": 1}

    async def test_a_duplicate_in_one_call_is_one_attempt(self, post: Post) -> None:
        post.store.refuse = lambda _: REFUSED
        results = await post.inbox.consume([received(1)] * 5)
        assert [one.status for one in results] == [ConsumedStatus.PROCESSING] * 5
        assert (await post.only(consumed)).consumer_times == 1

    @pytest.mark.parametrize("position", [0, 3, 8])
    async def test_one_refused_message_does_not_keep_the_others(self, post: Post, position: int) -> None:
        post.store.refuse = lambda message: REFUSED if message.key == str(position) else None
        results = await post.inbox.consume([received(number + 1, number) for number in range(9)])
        assert [one.status is ConsumedStatus.SUCCEEDED for one in results] == [
            number != position for number in range(9)
        ]
        assert await post.counted() == {str(number): 1 for number in range(9) if number != position}

    @pytest.mark.parametrize("error", [AWAY, OSError("away"), TimeoutError()])
    async def test_an_outage_costs_no_attempt(self, post: Post, error: Exception) -> None:
        post.store.refuse = lambda _: error
        for _ in range(ATTEMPTS_MAX + 2):
            results = await post.inbox.consume([received(1), received(2)])
            assert [one.status for one in results] == [ConsumedStatus.PROCESSING] * 2
        assert await post.rows(consumed) == []
        post.store.refuse = lambda _: None
        assert await post.inbox.consume([received(1), received(2)]) == [SUCCEEDED] * 2
        assert await post.counted() == {"1": 1, "2": 1}

    async def test_what_can_never_be_read_fails_at_once(self, post: Post) -> None:
        post.store.refuse = lambda message: ValueError("the key is no number") if message.key == "bad" else None
        results = await post.inbox.consume([received(1), received(2, "bad"), received(3)])
        assert results[1] == Consumed(ConsumedStatus.FAILED, "the key is no number")
        assert await post.counted() == {"1": 1, "3": 1}

    async def test_a_message_of_a_kind_that_is_not_known_fails_at_once_and_blocks_nothing(self, post: Post) -> None:
        results = await post.inbox.consume([received(1), received(2, tag="frobnicated")])
        assert results == [SUCCEEDED, Consumed(ConsumedStatus.FAILED, "store does not know order.frobnicated")]
        assert await post.counted() == {"1": 1}

    async def test_a_number_that_another_message_had_is_refused_aloud(self, post: Post) -> None:
        """A producer whose database was restored counts on from where it was then."""
        await post.inbox.consume([received(1, "before")])
        reused, other = await post.inbox.consume([received(1, "after"), received(2)])
        assert reused.status is ConsumedStatus.FAILED
        assert "shop's message 1 was order.cancelled before" in reused.remark
        assert other == SUCCEEDED
        assert await post.counted() == {"before": 1, "2": 1}
        assert [row.msg_key for row in await post.rows(consumed)] == ["before", "2"]

    async def test_a_long_reason_is_cut_in_the_remark(self, post: Post) -> None:
        post.store.refuse = lambda _: ValueError("长" * 2000)
        (result,) = await post.inbox.consume([received(1)])
        assert result.remark == (await post.only(consumed)).remark == "长" * 500

    async def test_a_failure_after_a_success_elsewhere_does_not_undo_it(self, post: Post) -> None:
        async def succeed_elsewhere(connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
            for message in messages:
                await count_order(connection, message.key)
            raise REFUSED

        assert await post.inbox.consume([received(1)]) == [SUCCEEDED]
        late = Inbox(post.database, "store", consumed, {("order", "cancelled"): succeed_elsewhere})
        assert await late.consume([received(1)]) == [SUCCEEDED]
        assert await post.counted() == {"1": 1}


class TestLists:
    async def list(self, post: Post, **fields: object) -> pb.ListConsumedMessagesResponse:
        request = pb.ListConsumedMessagesRequest(service="store", **fields)  # type: ignore[arg-type]
        return await post.peer.call(post.stub.ListConsumedMessages, request)

    async def test_002_09_shows_what_failed_with_its_remark(self, post: Post) -> None:
        post.store.refuse = lambda message: ValueError("no") if message.key == "2" else None
        await post.inbox.consume([received(1), received(2)])
        (shown,) = (await self.list(post, status=pb.CONSUMED_STATUS_FAILED)).messages
        assert (shown.message.msg_key, shown.status, shown.consumer_times, shown.remark) == (
            "2", pb.CONSUMED_STATUS_FAILED, 1, "no",
        )  # fmt: skip
        assert shown.consume_time.seconds > 0

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    async def test_pages_show_each_message_once_even_where_producers_number_alike(self, post: Post, size: int) -> None:
        messages = [received(number, producer=f"p{p}") for number in range(1, 4) for p in range(3)]
        await post.inbox.consume(messages)
        seen: list[tuple[str, int]] = []
        token = ""
        while token or not seen:
            page = await self.list(post, page_size=size, page_token=token)
            seen += [(one.message.producer, one.message.msg_id) for one in page.messages]
            token = page.next_page_token
        assert seen == [(f"p{p}", number) for number in (3, 2, 1) for p in range(3)]

    @pytest.mark.parametrize("size", [1, 3])
    async def test_pages_show_the_last_tried_first_whatever_became_of_them(self, post: Post, size: int) -> None:
        post.store.refuse = lambda message: {"2": ValueError("no"), "4": REFUSED}.get(message.key)
        await post.inbox.consume([received(number) for number in range(1, 6)])
        seen: list[pb.ConsumedMessage] = []
        token = ""
        while token or not seen:
            page = await self.list(post, page_size=size, page_token=token)
            seen += page.messages
            token = page.next_page_token
        assert sorted(one.message.msg_id for one in seen) == [1, 2, 3, 4, 5]
        times = [one.consume_time.ToMilliseconds() for one in seen]
        assert times == sorted(times, reverse=True)
        assert {one.message.msg_id: one.status for one in seen if one.status != pb.CONSUMED_STATUS_SUCCEEDED} == {
            2: pb.CONSUMED_STATUS_FAILED,
            4: pb.CONSUMED_STATUS_PROCESSING,
        }

    async def test_a_service_that_is_not_here_is_said_so(self, post: Post) -> None:
        with pytest.raises(DomainError, match="SERVICE_NOT_HERE"):
            await post.peer.call(post.stub.ListConsumedMessages, pb.ListConsumedMessagesRequest(service="nowhere"))


class TestForgetting:
    async def test_removes_what_was_applied_long_ago_and_nothing_else(self, post: Post) -> None:
        post.store.refuse = lambda message: REFUSED if message.key in {"4", "5"} else None
        messages = [received(number) for number in range(1, 6)]
        for _ in range(ATTEMPTS_MAX - 1):
            await post.inbox.consume(messages)
        await post.inbox.consume(messages[:4])
        assert await post.forget() == 0
        await post.pass_time(KEPT_MS_CONSUMED + 60_000)
        await post.inbox.consume([received(6)])
        assert await post.forget(rows_max=2) == 2
        assert await post.forget(rows_max=2) == 1
        assert await post.forget() == 0
        assert [row.msg_id for row in await post.rows(consumed)] == [4, 5, 6]
