"""What every adapter of the bus must do. A test module of an adapter subclasses this and says how time passes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import pytest

from mesh.bus.port import DEAD_REASON_HEADER, Bus, BusUnavailableError, Delivery, Depth, Message
from mesh.testing import eventually

PassSeconds = Callable[[float], Awaitable[None]]

HIDDEN_SECONDS = 30

NEVER_SECONDS = 3600.0

LOOKING = ("mesh.bus.memory", "mesh.bus.redis_streams", "mesh.bus.rocketmq.watch")
"""The modules that look in turn, by name: a bus whose client library is not installed cannot be imported."""


def messages(*bodies: str) -> list[Message]:
    return [Message(body.encode()) for body in bodies]


def bodies(deliveries: list[Delivery]) -> list[str]:
    return [delivery.body.decode() for delivery in deliveries]


async def receive_one(bus: Bus, queue: str, visibility_seconds: int = HIDDEN_SECONDS) -> Delivery:
    (delivery,) = await bus.receive(queue, 1, visibility_seconds)
    return delivery


async def receive_all(bus: Bus, queue: str, wanted: set[str], seconds_max: float) -> dict[str, int]:
    """Receive and acknowledge until all that is wanted came; answer the attempts at which it did."""
    found: dict[str, int] = {}

    async def take() -> bool:
        try:
            for ready in await bus.wait_ready([queue], 1):
                deliveries = await bus.receive(ready, 100, 10)
                found.update({delivery.body.decode(): delivery.attempt for delivery in deliveries})
                await bus.ack(deliveries)
        except BusUnavailableError:
            return False
        return wanted <= found.keys()

    await eventually(take, seconds_max)
    return found


class BusConformance:
    """Fixtures wanted: `bus`, empty and taking a visibility of one second, and `pass_seconds`.

    What an engine does not do is said by its class.
    """

    late_settlements_count = True
    """Whether a message whose visibility has passed can be settled until someone else gets it."""

    @pytest.fixture
    def no_looks_in_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let only a wake-up, or what becomes due, end a wait before its time."""
        loaded = [sys.modules[name] for name in LOOKING if name in sys.modules]
        assert loaded
        for module in loaded:
            monkeypatch.setattr(module, "LOOK_SECONDS_MAX", NEVER_SECONDS)

    async def test_delivers_in_order_what_was_published(self, bus: Bus) -> None:
        before_ms = time.time_ns() // 1_000_000
        await bus.publish("q", [Message(b"a", {"k": "v"}), Message(b"b")])
        await bus.publish("q", messages("c"))
        deliveries = await bus.receive("q", 10, HIDDEN_SECONDS)
        assert bodies(deliveries) == ["a", "b", "c"]
        assert [delivery.headers for delivery in deliveries] == [{"k": "v"}, {}, {}]
        assert {delivery.queue for delivery in deliveries} == {"q"}
        assert {delivery.attempt for delivery in deliveries} == {1}
        assert len({delivery.message_id for delivery in deliveries}) == 3
        assert all(before_ms - 1000 <= delivery.published_at_ms <= before_ms + 5000 for delivery in deliveries)

    async def test_carries_any_bytes(self, bus: Bus) -> None:
        body = bytes(range(256)) * 3
        await bus.publish("q", [Message(body, {"Grüße": "你好\n"}), Message(b"")])
        first, second = await bus.receive("q", 2, HIDDEN_SECONDS)
        assert (first.body, first.headers) == (body, {"Grüße": "你好\n"})
        assert second.body == b""

    async def test_binary_bodies_survive_delays_and_dead_letters(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        body = b"0 1 \x00\n\xff" * 40
        await bus.publish("q", [Message(body, {"k": "v"})], delay_seconds=1)
        await pass_seconds(1)
        await bus.nack(await receive_one(bus, "q"), 1)
        await pass_seconds(1)
        await bus.dead(await receive_one(bus, "q"), "no use")
        (letter,) = await bus.list_dead("q", 10)
        assert letter.body == body
        assert letter.headers == {"k": "v", DEAD_REASON_HEADER: "no use"}

    async def test_takes_at_most_what_was_asked_for(self, bus: Bus) -> None:
        await bus.publish("q", messages("a", "b", "c"))
        assert bodies(await bus.receive("q", 2, HIDDEN_SECONDS)) == ["a", "b"]
        assert bodies(await bus.receive("q", 2, HIDDEN_SECONDS)) == ["c"]
        assert await bus.receive("q", 2, HIDDEN_SECONDS) == []

    async def test_a_queue_nobody_wrote_to_is_empty(self, bus: Bus) -> None:
        assert await bus.receive("nothing", 10, HIDDEN_SECONDS) == []
        assert await bus.list_dead("nothing", 10) == []
        assert await bus.requeue_dead("nothing", 10) == 0
        assert await bus.depth("nothing") == Depth(0, 0, 0, 0)

    async def test_publishing_nothing_is_allowed(self, bus: Bus) -> None:
        await bus.publish("q", [])
        assert await bus.receive("q", 1, HIDDEN_SECONDS) == []

    async def test_many_messages_in_one_call(self, bus: Bus) -> None:
        count = 1201
        await bus.publish("q", messages(*(str(number) for number in range(count))))
        taken: list[Delivery] = []
        while batch := await bus.receive("q", count, HIDDEN_SECONDS):
            taken += batch
        assert bodies(taken) == [str(number) for number in range(count)]
        await bus.extend(taken, HIDDEN_SECONDS)
        await bus.ack(taken)
        assert await bus.depth("q") == Depth(0, 0, 0, 0)

    async def test_names_queues_sorted_by_prefix(self, bus: Bus) -> None:
        await bus.ensure("sms.b")
        await bus.ensure("sms.b")
        await bus.publish("sms.a", messages("x"))
        await bus.publish("order.a", messages("x"))
        await bus.dead(await receive_one(bus, "sms.a"), "no use")
        assert await bus.queues("sms.") == ["sms.a", "sms.a.dead", "sms.b"]
        assert await bus.queues("") == ["order.a", "sms.a", "sms.a.dead", "sms.b"]

    async def test_acknowledged_messages_are_gone(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a", "b"))
        first, second = await bus.receive("q", 2, 1)
        await bus.ack([first])
        await pass_seconds(1)
        again = await bus.receive("q", 2, HIDDEN_SECONDS)
        assert [delivery.message_id for delivery in again] == [second.message_id]
        await bus.ack(again)
        assert await bus.depth("q") == Depth(0, 0, 0, 0)

    async def test_acknowledges_several_queues_at_once(self, bus: Bus) -> None:
        await bus.publish("q", messages("a"))
        await bus.publish("r", messages("b"))
        await bus.ack([await receive_one(bus, "q"), await receive_one(bus, "r")])
        assert await bus.depth("q") == await bus.depth("r") == Depth(0, 0, 0, 0)

    async def test_a_lost_message_comes_back_with_a_higher_attempt(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a"))
        lost = await receive_one(bus, "q", 1)
        assert await bus.receive("q", 1, 1) == []
        await pass_seconds(1)
        again = await receive_one(bus, "q", 1)
        assert (again.attempt, again.message_id, again.published_at_ms) == (2, lost.message_id, lost.published_at_ms)
        await pass_seconds(1)
        assert (await receive_one(bus, "q")).attempt == 3

    async def test_each_receive_has_its_own_visibility(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("long", "short"))
        await receive_one(bus, "q", HIDDEN_SECONDS)
        await receive_one(bus, "q", 1)
        await pass_seconds(1)
        assert bodies(await bus.receive("q", 10, HIDDEN_SECONDS)) == ["short"]

    async def test_lost_messages_come_before_new_ones(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a", "b"))
        await receive_one(bus, "q", 1)
        await pass_seconds(1)
        assert bodies(await bus.receive("q", 1, HIDDEN_SECONDS)) == ["a"]
        assert bodies(await bus.receive("q", 1, HIDDEN_SECONDS)) == ["b"]

    async def test_extended_messages_stay_hidden(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a", "b"))
        first, _ = await bus.receive("q", 2, 1)
        await bus.extend([first], HIDDEN_SECONDS)
        await pass_seconds(1)
        assert bodies(await bus.receive("q", 10, HIDDEN_SECONDS)) == ["b"]
        assert await bus.wait_ready(["q"], 0) == set()

    async def test_extending_may_also_shorten(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a"))
        await bus.extend([await receive_one(bus, "q", HIDDEN_SECONDS)], 1)
        await pass_seconds(1)
        assert await bus.wait_ready(["q"], 0) == {"q"}
        assert (await receive_one(bus, "q")).attempt == 2

    async def test_whoever_lost_a_message_can_no_longer_settle_it(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        settle: dict[str, Callable[[Delivery], Awaitable[None]]] = {
            "ack": lambda lost: bus.ack([lost]),
            "nack": lambda lost: bus.nack(lost, 0),
            "extend": lambda lost: bus.extend([lost], HIDDEN_SECONDS),
            "dead": lambda lost: bus.dead(lost, "too late"),
        }
        for queue in settle:
            await bus.publish(queue, messages("a"))
        lost = [await receive_one(bus, queue, 1) for queue in settle]
        await pass_seconds(1)
        held = [await receive_one(bus, queue, 1) for queue in settle]
        for delivery in lost:
            await settle[delivery.queue](delivery)
            assert (await bus.depth(delivery.queue)).in_flight == 1
            assert await bus.list_dead(delivery.queue, 1) == []
        await pass_seconds(1)
        again = [await receive_one(bus, queue) for queue in settle]
        assert [delivery.message_id for delivery in again] == [delivery.message_id for delivery in held]
        assert [delivery.attempt for delivery in again] == [3] * len(settle)

    async def test_a_late_settlement_counts_until_the_message_is_delivered_again(
        self, bus: Bus, pass_seconds: PassSeconds
    ) -> None:
        if not self.late_settlements_count:
            pytest.skip("this engine refuses what is late")
        await bus.publish("q", messages("a"))
        late = await receive_one(bus, "q", 1)
        await pass_seconds(1)
        await bus.wait_ready(["q"], 0)
        await bus.ack([late])
        assert await bus.receive("q", 1, HIDDEN_SECONDS) == []

    async def test_settling_twice_is_harmless(self, bus: Bus) -> None:
        await bus.publish("q", messages("a"))
        delivery = await receive_one(bus, "q")
        await bus.ack([delivery])
        await bus.ack([delivery])
        await bus.nack(delivery, 0)
        await bus.dead(delivery, "no use")
        assert await bus.receive("q", 1, HIDDEN_SECONDS) == []
        assert await bus.list_dead("q", 1) == []

    async def test_an_old_handle_does_not_fit_a_requeued_message(self, bus: Bus) -> None:
        await bus.publish("q", messages("a"))
        old = await receive_one(bus, "q")
        await bus.dead(old, "no use")
        await bus.requeue_dead("q", 1)
        await receive_one(bus, "q")
        await bus.ack([old])
        assert (await bus.depth("q")).in_flight == 1

    async def test_a_nacked_message_comes_back_after_its_delay(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a", "b"))
        first = await receive_one(bus, "q")
        await bus.nack(first, 1)
        assert bodies(await bus.receive("q", 10, HIDDEN_SECONDS)) == ["b"]
        await pass_seconds(1)
        again = await receive_one(bus, "q")
        assert (again.body, again.attempt, again.message_id) == (b"a", 2, first.message_id)
        assert again.published_at_ms == first.published_at_ms

    async def test_a_message_nacked_without_delay_comes_back_at_once(self, bus: Bus) -> None:
        await bus.publish("q", messages("a"))
        for attempt in range(1, 5):
            delivery = await receive_one(bus, "q")
            assert delivery.attempt == attempt
            assert await bus.wait_ready(["q"], 0) == set()
            await bus.nack(delivery, 0)
            assert await bus.wait_ready(["q"], 5) == {"q"}

    async def test_attempts_add_up_over_losses_and_nacks(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a"))
        await receive_one(bus, "q", 1)
        await pass_seconds(1)
        await bus.nack(await receive_one(bus, "q"), 1)
        await pass_seconds(1)
        await receive_one(bus, "q", 1)
        await pass_seconds(1)
        assert (await receive_one(bus, "q")).attempt == 4

    async def test_a_delayed_message_comes_when_it_is_due(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        began = time.monotonic()
        await bus.publish("q", messages("later"), delay_seconds=1)
        await bus.publish("q", messages("now"))
        between_ms = (time.monotonic() - began) * 1000
        (now,) = await bus.receive("q", 10, HIDDEN_SECONDS)
        assert now.body == b"now"
        assert (await bus.depth("q")).delayed == 1
        await pass_seconds(1)
        later = await receive_one(bus, "q")
        assert (later.body, later.attempt) == (b"later", 1)
        assert 900 - between_ms <= later.published_at_ms - now.published_at_ms <= 1100

    async def test_dead_letters_are_listed_and_requeued(self, bus: Bus) -> None:
        await bus.publish("q", messages("a", "b", "c"))
        await bus.nack(await receive_one(bus, "q"), 0)
        dying = await bus.receive("q", 10, HIDDEN_SECONDS)
        for delivery in dying:
            await bus.dead(delivery, f"no {delivery.body.decode()}")
        letters = await bus.list_dead("q", 10)
        assert bodies(letters) == bodies(dying)
        assert sorted((letter.body, letter.attempt) for letter in letters) == [(b"a", 2), (b"b", 1), (b"c", 1)]
        assert [letter.headers[DEAD_REASON_HEADER] for letter in letters] == [f"no {body}" for body in bodies(dying)]
        assert bodies(await bus.list_dead("q", 1)) == bodies(dying[:1])
        assert await bus.requeue_dead("q", 2) == 2
        again = await bus.receive("q", 10, HIDDEN_SECONDS)
        assert bodies(again) == bodies(dying[:2])
        assert [delivery.attempt for delivery in again] == [1, 1]
        assert await bus.requeue_dead("q", 10) == 1
        assert await bus.list_dead("q", 10) == []

    async def test_a_dead_letter_queue_can_be_read_as_a_queue(self, bus: Bus) -> None:
        await bus.publish("q", messages("a"))
        await bus.dead(await receive_one(bus, "q"), "no use")
        assert (await bus.depth("q.dead")).ready == 1
        letter = await receive_one(bus, "q.dead")
        assert letter.queue == "q.dead"
        await bus.ack([letter])
        assert await bus.list_dead("q", 1) == []

    async def test_says_how_full_a_queue_is(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a", "b", "c", "d"))
        await bus.publish("q", messages("later"), delay_seconds=60)
        await receive_one(bus, "q", HIDDEN_SECONDS)
        await receive_one(bus, "q", 1)
        depth = await bus.depth("q")
        assert (depth.ready, depth.in_flight, depth.delayed) == (2, 2, 1)
        await pass_seconds(1)
        depth = await bus.depth("q")
        assert (depth.ready, depth.in_flight, depth.delayed) == (3, 1, 1)
        assert 1 <= depth.oldest_age_seconds < 10

    async def test_a_retried_message_keeps_its_age(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        await bus.publish("q", messages("a"))
        await pass_seconds(1)
        await bus.nack(await receive_one(bus, "q"), 60)
        assert 1 <= (await bus.depth("q")).oldest_age_seconds < 10

    async def test_waiting_names_all_queues_with_work(self, bus: Bus) -> None:
        for queue in ("sms.a", "sms.b", "im.a", "order.a"):
            await bus.publish(queue, messages("x"))
        await bus.ensure("sms.idle")
        assert await bus.wait_ready(["sms.", "im."], 5) == {"sms.a", "sms.b", "im.a"}

    async def test_waiting_names_accepted_queues_alone(self, bus: Bus) -> None:
        for queue in ("sms.a", "sms.b"):
            await bus.publish(queue, messages("x"))
        assert await bus.wait_ready(["sms."], 5, lambda queue: queue.endswith("b")) == {"sms.b"}
        assert await bus.wait_ready(["sms."], 0.2, lambda queue: queue.endswith("c")) == set()

    async def test_waiting_in_vain_ends_in_time(self, bus: Bus) -> None:
        await bus.publish("other", messages("x"))
        started = time.monotonic()
        assert await bus.wait_ready(["q"], 0.2) == set()
        assert 0.15 <= time.monotonic() - started < 2

    async def test_queues_without_ready_messages_are_not_named(self, bus: Bus) -> None:
        await bus.publish("q.later", messages("x"), delay_seconds=60)
        for queue in ("q.flight", "q.done", "q.dying"):
            await bus.publish(queue, messages("x"))
        await bus.receive("q.flight", 10, HIDDEN_SECONDS)
        await bus.ack(await bus.receive("q.done", 10, HIDDEN_SECONDS))
        await bus.dead(await receive_one(bus, "q.dying"), "no use")
        assert await bus.wait_ready(["q"], 0.1) == set()

    @pytest.mark.usefixtures("no_looks_in_turn")
    async def test_publishing_wakes_who_waits(self, bus: Bus) -> None:
        await bus.ensure("q")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(bus.wait_ready(["q"], 20))
            unconcerned = group.create_task(bus.wait_ready(["other"], 0.5))
            await asyncio.sleep(0.1)
            await bus.publish("q", messages("x"))
            assert await waiting == {"q"}
            assert await unconcerned == set()

    async def test_what_becomes_due_wakes_who_waits(self, bus: Bus, pass_seconds: PassSeconds) -> None:
        queues = {"delayed", "nacked", "lost"}
        await bus.publish("nacked", messages("x"))
        await bus.publish("lost", messages("x"))
        nacked, _ = await receive_one(bus, "nacked", 1), await receive_one(bus, "lost", 1)
        await bus.nack(nacked, 1)
        await bus.publish("delayed", messages("x"), delay_seconds=1)
        assert await bus.wait_ready(queues, 0) == set()
        waiting = {queue: asyncio.create_task(bus.wait_ready([queue], 20)) for queue in queues}
        await pass_seconds(1)
        for queue, named in waiting.items():
            assert await named == {queue}
            assert len(await bus.receive(queue, 1, HIDDEN_SECONDS)) == 1

    async def test_requeued_dead_letters_wake_who_waits(self, bus: Bus) -> None:
        await bus.publish("q", messages("x"))
        await bus.dead(await receive_one(bus, "q"), "no use")
        assert await bus.wait_ready(["q"], 0) == set()
        await bus.requeue_dead("q", 10)
        assert await bus.wait_ready(["q"], 5) == {"q"}

    async def test_consumers_share_a_queue_without_overlap(self, bus: Bus) -> None:
        await bus.publish("q", messages(*(str(number) for number in range(300))))

        async def consume() -> list[str]:
            taken: list[str] = []
            while batch := await bus.receive("q", 7, HIDDEN_SECONDS):
                taken += bodies(batch)
                await bus.ack(batch)
            return taken

        shares = await asyncio.gather(*(consume() for _ in range(5)))
        assert sorted(int(body) for share in shares for body in share) == list(range(300))
        assert await bus.depth("q") == Depth(0, 0, 0, 0)

    async def test_refuses_a_visibility_that_is_too_short(self, bus: Bus) -> None:
        with pytest.raises(ValueError, match="visibility_seconds is 0"):
            await bus.receive("q", 1, 0)
        with pytest.raises(ValueError, match="visibility_seconds is 0"):
            await bus.extend([], 0)
