"""Random histories on the real cost center and on the model: same answers, same tables, and a sound ledger."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from costcenter_rpc.domain import (
    DAY_MS,
    Answer,
    ExpireFreeze,
    ExpireLots,
    Grant,
    Operation,
    Outcome,
    Refusal,
    ReportReceipt,
    body_hash,
)
from costcenter_rpc.jobs import RECEIPT_QUEUE, RELEASE_QUEUE, JobOperation
from mesh.errors import DomainError
from tests.costcenter.drawing import HOUR_MS, Drawing
from tests.costcenter.harness import POLICY, Center, prepare, running
from tests.costcenter.model import ModelAccount, rows_of
from tests.databases import SERVER_URL

Value = TypeVar("Value")
JobKey = tuple[int, str, str]

BRANDS = (7, 8)


def confirms_the_charge(operation: JobOperation) -> bool:
    """Whether a receipt says that what was charged was right: nobody has to apply it."""
    return (
        isinstance(operation, ReportReceipt)
        and operation.delivered
        and operation.billed_num in {0, operation.charged_num}
    )


class Histories(RuleBasedStateMachine):
    """Drives both. Time moves only by its own rule, so that a batch happens at one moment."""

    def __init__(self) -> None:
        super().__init__()
        self.exit = contextlib.ExitStack()
        self.runner = self.exit.enter_context(asyncio.Runner())
        self.directory = Path(self.exit.enter_context(tempfile.TemporaryDirectory()))
        self.parts = contextlib.AsyncExitStack()
        self.center = self.run(self._start())
        self.model = {brand_id: ModelAccount(brand_id, POLICY) for brand_id in BRANDS}
        self.drawing = Drawing(self.model, self.center.clock)
        self.jobs: dict[JobKey, JobOperation] = {}
        self.open_jobs: set[JobKey] = set()

    async def _start(self) -> Center:
        center = await self.parts.enter_async_context(running(await prepare(self.directory)))
        await center.open(*BRANDS)
        return center

    def teardown(self) -> None:
        self.run(self.parts.aclose())
        self.exit.close()

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return self.runner.run(work)

    @property
    def now_ms(self) -> int:
        return self.center.clock.now_ms

    def check(self, *callers: Sequence[Operation]) -> None:
        """Let callers do their operations at once; each gets the model's answers."""

        async def call() -> list[list[Answer | BaseException]]:
            return await asyncio.gather(*(self.center.ledger.apply_all(operations) for operations in callers))

        for operations, answers in zip(callers, self.run(call()), strict=True):
            for operation, answer in zip(operations, answers, strict=True):
                assert seen(answer) == wanted(self.model_answer(operation)), operation

    def model_answer(self, operation: Operation) -> Outcome:
        account = self.model.get(operation.brand_id)
        return account.apply(operation, self.now_ms) if account else Refusal("ACCOUNT_NOT_FOUND", "")

    # Operations.

    @initialize(packages=st.lists(st.tuples(st.sampled_from([1, 3, 30]), st.integers(5, 30)), min_size=1, max_size=3))
    def grant_some(self, packages: list[tuple[int, int]]) -> None:
        for brand_id in BRANDS:
            for days, num in packages:
                self.check([Grant(brand_id, f"package-{num}", num, self.now_ms + days * DAY_MS)])

    @rule(data=st.data())
    def one_by_one(self, data: st.DataObject) -> None:
        for _ in range(5):
            self.check([self.drawing.operation(data)])

    @rule(data=st.data(), callers=st.lists(st.integers(1, 8), min_size=1, max_size=3))
    def many_at_once(self, data: st.DataObject, callers: list[int]) -> None:
        self.check(*([self.drawing.operation(data) for _ in range(count)] for count in callers))

    @rule(data=st.data(), change=st.sampled_from(["num", "expires_at_ms", "freeze_id", "payment_id", "message_id"]))
    def same_id_other_body(self, data: st.DataObject, change: str) -> None:
        changeable: list[Any] = [request for request in self.drawing.requests if hasattr(request, change)]
        if changeable:
            request = data.draw(st.sampled_from(changeable))
            value = getattr(request, change)
            self.check([dataclasses.replace(request, **{change: value + 1 if isinstance(value, int) else value + "1"})])

    # Time.

    @rule(duration_ms=st.sampled_from([1, HOUR_MS, DAY_MS - 1, DAY_MS, DAY_MS, 3 * DAY_MS]), sweeps=st.booleans())
    def time_passes(self, duration_ms: int, sweeps: bool) -> None:
        self.center.clock.pass_ms(duration_ms)
        if sweeps:
            self.sweep_freezes()
            self.sweep_lots()

    def sweep_freezes(self) -> None:
        """Freezes that are due at the same moment may expire in any order: the model follows the ledger in that."""
        seen = {brand_id: account.balance.seq for brand_id, account in self.model.items()}
        self.run(self.center.cost_center.expire_freezes(10_000))
        entries = self.run(self.center.rows("entry"))["entry"]
        for entry in sorted(entries, key=lambda one: int(one["seq"])):
            account = self.model[entry["brand_id"]]
            if entry["kind"] == "FREEZE_EXPIRE" and entry["seq"] > seen[entry["brand_id"]]:
                (hold,) = (one for one in account.holds.values() if one.request_id == entry["request_id"])
                account.apply(ExpireFreeze(account.brand_id, hold.freeze_id), self.now_ms)
        holds = [hold for account in self.model.values() for hold in account.holds.values()]
        assert not [hold for hold in holds if hold.state == "FROZEN" and hold.expires_at_ms <= self.now_ms]

    def sweep_lots(self) -> None:
        self.run(self.center.cost_center.expire_lots(10_000))
        for brand_id, account in self.model.items():
            account.apply(ExpireLots(brand_id), self.now_ms)

    @rule(brand_id=st.sampled_from(BRANDS))
    def look(self, brand_id: int) -> None:
        """Whoever looks does not see credits that have expired."""
        shown = self.run(self.center.cost_center.get_account(brand_id))
        self.model[brand_id].apply(ExpireLots(brand_id), self.now_ms)
        assert dataclasses.asdict(shown) == {"brand_id": brand_id, **self.model[brand_id].balance._asdict()}

    # Jobs.

    @rule(data=st.data(), kinds=st.lists(st.booleans(), min_size=1, max_size=4))
    def store_jobs(self, data: st.DataObject, kinds: list[bool]) -> None:
        draw = self.drawing
        operations = [draw.release(data) if is_release else draw.receipt(data) for is_release in kinds]
        stored_before = set(self.jobs)
        for operation, answer in zip(operations, self.run(self.center.jobs.store_all(operations)), strict=True):
            assert seen(answer)[0] == self.model_store(operation, stored_before), operation

    def model_store(self, operation: JobOperation, stored_before: set[JobKey]) -> str:
        key = (operation.brand_id, operation.kind, operation.request_id)
        refusal = "" if key in stored_before else self.refusal_at_once(operation)
        if not refusal and key not in self.jobs:
            self.jobs[key] = operation
            if not confirms_the_charge(operation):
                self.open_jobs.add(key)
        return refusal or ("" if self.jobs[key] == operation else "KEY_REUSED")

    def refusal_at_once(self, operation: JobOperation) -> str:
        account = self.model.get(operation.brand_id)
        if account is None:
            return "ACCOUNT_NOT_FOUND"
        if isinstance(operation, ReportReceipt):
            return "" if operation.payment_id in account.charges else "PAYMENT_NOT_FOUND"
        paid = {hold.request_id for hold in account.holds.values() if hold.state == "PAID"}
        return "FREEZE_ALREADY_PAID" if operation.freeze_request_id in paid else ""

    @precondition(lambda self: self.open_jobs)
    @rule(times=st.integers(1, 2), acknowledge=st.booleans())
    def work_queues(self, times: int, acknowledge: bool) -> None:  # drawn by name
        """A message may come any number of times: the first has the effect."""
        for job_ids in self.run(self.deliver(times, acknowledge=acknowledge)):
            self.model_apply(job_ids)

    async def deliver(self, times: int, *, acknowledge: bool) -> list[list[int]]:
        delivered: list[list[int]] = []
        for queue in (RELEASE_QUEUE, RECEIPT_QUEUE):
            for delivery in await self.center.bus.receive(queue, 1000, 30):
                delivered.append(json.loads(delivery.body)["ids"])
                for _ in range(times):
                    await self.center.jobs.apply(delivered[-1])
                if acknowledge:
                    await self.center.bus.ack([delivery])
        return delivered

    def model_apply(self, job_ids: list[int]) -> None:
        rows = {row["job_id"]: row for row in self.run(self.center.rows("job"))["job"]}
        for job_id in job_ids:
            brand_id, kind, request_id = rows[job_id]["key"].split("/")
            key = (int(brand_id), kind, request_id)
            if key in self.open_jobs:
                self.open_jobs.remove(key)
                outcome = self.model_answer(self.jobs[key])
                state = ("REFUSED", outcome.reason) if isinstance(outcome, Refusal) else ("APPLIED", "")
                assert (rows[job_id]["state"], rows[job_id]["reason"]) == state

    @rule(loses=st.booleans())
    def replay(self, loses: bool) -> None:
        if loses:
            self.run(self.lose_messages())
        assert self.run(self.center.jobs.replay(0)).replayed == len(self.open_jobs)

    async def lose_messages(self) -> None:
        for queue in (RELEASE_QUEUE, RECEIPT_QUEUE):
            await self.center.bus.ack(await self.center.bus.receive(queue, 1000, 30))

    # What holds after each step.

    @invariant()
    def tables_are_those_of_the_model(self) -> None:
        rows = self.run(self.center.rows())
        for name, expected in rows_of(self.model).items():
            assert as_set(rows[name]) == as_set(expected), name
        requests = {row["key"]: row for row in rows["remembered_request"]}
        for brand_id, account in self.model.items():
            for (kind, request_id), known in account.remembered.items():
                row = requests.pop(f"{brand_id}/{kind}/{request_id}")
                assert row["created_at_ms"] == known.created_at_ms
                assert row["body_hash"] == (body_hash(known.operation) if known.operation else "")
                assert json.loads(row["outcome"])[0] == wanted(known.outcome)[0]
        assert requests == {}

    @invariant()
    def ledger_is_sound(self) -> None:
        self.run(self.center.is_sound())


def seen(answer: object) -> tuple[str, object]:
    """An answer of the cost center, with a refusal's words left out."""
    return (answer.reason, dict(answer.metadata)) if isinstance(answer, DomainError) else ("", answer)


def wanted(outcome: Outcome) -> tuple[str, object]:
    return (outcome.reason, outcome.metadata) if isinstance(outcome, Refusal) else ("", outcome)


def as_set(rows: list[dict[str, Any]]) -> set[frozenset[tuple[str, Any]]]:
    keys = {frozenset(row.items()) for row in rows}
    assert len(keys) == len(rows)
    return keys


TestHistories = pytest.mark.timeout(300)(Histories.TestCase)
TestHistories.settings = settings(
    # Each step reads all tables back. On a server what differs is the statements, which fewer histories go through.
    max_examples=8 if SERVER_URL else 40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
