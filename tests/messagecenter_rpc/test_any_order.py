"""Whatever happens in whatever order: records are neither lost nor held twice, and what is over stays as it is."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from messagecenter_rpc.domain import TERMINAL
from tests.messagecenter_rpc.harness import REFRESH, MessageCenter, Rows, record_ids_of

STEPS = 120
LEASE_SECONDS = 30
OUTCOMES = [
    pb.IM_OUTCOME_SENT,
    pb.IM_OUTCOME_SKIPPED,
    pb.IM_OUTCOME_FAILED,
    pb.IM_OUTCOME_RETRY,
    pb.IM_OUTCOME_UNKNOWN,
]


@dataclass
class History:
    """Draws what happens next, and remembers who holds what until when."""

    center: MessageCenter
    draw: random.Random
    call_ids: list[str] = field(default_factory=list)
    record_ids: list[int] = field(default_factory=list)
    leases: dict[int, tuple[str, int]] = field(default_factory=dict)
    over: dict[int, str] = field(default_factory=dict)

    async def run(self) -> None:
        steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (3, self.send),
            (6, self.consume),
            (3, self.claim_any),
            (8, self.tell),
            (1, self.cancel),
            (4, self.sweep),
            (4, self.pass_time),
            (1, self.lose),
            (1, self.switch_bus),
        ]
        weights, actions = [weight for weight, _ in steps], [action for _, action in steps]
        for action in self.draw.choices(actions, weights, k=STEPS):
            await action()
            await self.check()
        await self.finish()

    async def send(self) -> None:
        kind = {"MsgType": REFRESH} if self.draw.random() < 0.5 else {}
        response = await self.center.send(**kind)
        self.call_ids.append(response.call_id)
        self.record_ids += record_ids_of(response)

    async def consume(self) -> None:
        for ids in await self.center.due_ids():
            await self.claim(ids)

    async def claim_any(self) -> None:
        if self.record_ids:
            await self.claim(self.draw.sample(self.record_ids, min(5, len(self.record_ids))))

    async def claim(self, ids: list[int]) -> None:
        consumer, now_ms = self.draw.choice(["first", "second"]), self.center.clock.now_ms
        for delivery in await self.center.claim(ids, consumer, LEASE_SECONDS):
            assert delivery.due_time.ToMilliseconds() <= now_ms + 1000
            for recipient in delivery.recipients:
                holder = self.leases.get(recipient.record_id)
                assert holder is None or holder[1] <= now_ms, "it was held by somebody"
                self.leases[recipient.record_id] = (consumer, now_ms + LEASE_SECONDS * 1000)

    async def tell(self) -> None:
        if self.leases:
            record_id = self.draw.choice(sorted(self.leases))
            consumer, _ = self.leases.pop(record_id)
            await self.center.outcome(
                [record_id], self.draw.choice(OUTCOMES), consumer, retry_after_seconds=self.draw.choice([0, 5, 60])
            )

    async def cancel(self) -> None:
        if self.call_ids:
            await self.center.cancel(self.draw.choice(self.call_ids))

    async def sweep(self) -> None:
        await self.center.sweep(self.draw.choice([3, 100]))

    async def pass_time(self) -> None:
        self.center.clock.pass_seconds(self.draw.choice([0.5, 2, 20, 45]))

    async def lose(self) -> None:
        self.center.bus.lose_everything()

    async def switch_bus(self) -> None:
        self.center.bus.is_away = not self.center.bus.is_away

    async def check(self) -> Rows:
        rows = await self.center.rows()
        assert [row["record_id"] for row in rows] == sorted(self.record_ids)
        for row in rows:
            is_over = row["status"] in TERMINAL
            assert bool(row["ended_at_ms"]) is is_over
            assert (row["look_at_ms"] == 0) is is_over
            assert bool(row["consumer"]) is (row["status"] == "SENDING") or is_over
            assert not (row["may_be_sent"] and row["status"] in {"SKIPPED", "FAILED", "CANCELLED"})
            was = self.over.get(row["record_id"])
            assert was in {None, row["status"]}, "what is over stays"
            if is_over:
                self.over[row["record_id"]] = row["status"]
            if row["status"] in {"SKIPPED", "FAILED"}:
                assert not row["may_be_sent"], "nobody knows that it was not sent"
        return rows

    async def finish(self) -> None:
        """Let all go well from here on: every record comes to its end by itself."""
        self.center.bus.is_away = False
        for _ in range(200):
            self.center.clock.pass_seconds(31)
            await self.center.sweep()
            for ids in await self.center.due_ids():
                deliveries = await self.center.claim(ids, "last", LEASE_SECONDS)
                held = [one.record_id for delivery in deliveries for one in delivery.recipients]
                if held:
                    await self.center.outcome(held, pb.IM_OUTCOME_SENT, "last")
            if all(row["status"] in TERMINAL for row in await self.check()):
                return
        raise AssertionError(f"still open: {await self.center.statuses()}")


@pytest.mark.parametrize("seed", range(12))
async def test_any_order(center: MessageCenter, seed: int) -> None:
    await center.configure(template_id=await center.template(), repeat_count=3, interval_seconds=40)
    for _ in range(2):
        await center.device()
    await History(center, random.Random(seed)).run()  # noqa: S311  # drawn for a test, the same each time
