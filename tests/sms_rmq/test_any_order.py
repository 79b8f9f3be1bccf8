"""Whatever crosses whatever: no message is submitted twice, each comes to an end, and just what was kept is paid.

A hypothesis state machine drives one brand: its app sends and cancels, consumers take one step at a time and die, the
provider answers and sends receipts, queues lose and repeat messages, answers of services are lost, and time passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from brandmesh.sms.v1 import sms_pb2 as pb
from costcenter_rpc import tables as costcenter_tables
from mesh.bus.id_messages import publish_ids
from mesh.errors import DomainError
from mesh.timestamps import to_timestamp
from sms_rmq.providers.port import Accepted, Outcome, Receipt, Rejected, RetryLater, Submission, Unknown, Verdict
from sms_rpc import tables
from sms_rpc.domain import SmsMode, SmsType, queue_name
from tests.databases import SERVER_URL
from tests.sms_rmq.chain import CLAIM_SECONDS, SUBMIT_SECONDS, Chain, open_process, receipt, running_chain
from tests.sms_rmq.gates import SteppedConsumer
from tests.sms_rmq.provider import PROVIDER_MESSAGE_ID, ScriptedProvider
from tests.sms_rpc.harness import BRAND, HOUR_MS, phone

Value = TypeVar("Value")

TYPES = [pb.SMS_TYPE_MARKETING, pb.SMS_TYPE_MARKETING, pb.SMS_TYPE_NOTIFICATION, pb.SMS_TYPE_VERIFICATION]
CREDITS = 30
CONSUMERS_MAX = 3
REQUESTS_MAX = 6

ANSWERS: dict[str, Outcome] = {
    "accepted": Accepted(PROVIDER_MESSAGE_ID),
    "rejected": Rejected("105", "SENSITIVE_WORD"),
    "later": RetryLater(1, "104", "PROVIDER_BUSY"),
    "lost, and sent": Unknown("ANSWER_LOST"),
    "lost, and not sent": Unknown("ANSWER_LOST"),
}
SENT = {"accepted", "lost, and sent"}

# RecordSubmissions is not among them: whoever records an outcome tries again after real seconds.
MISHAPS = [
    *["message again"] * 4,
    *["queues are lost"] * 2,
    "bus goes",
    "bus comes",
    "bus comes",
    "request again",
    "request again",
    "SendSms",
    "BatchSmsSendPrePay",
    "ClaimDispatches",
    "BatchSmsSendPay",
    "RecordCharges",
    "BatchSmsSendStatusCallBack",
    "SmsReleaseFreezeNum",
    "BatchSmsReleaseFreezeNum",
    "FinishDispatches",
    "RecordReceipts",
    "BatchSmsReceiptStatusCallBack",
]

PAUSES_SECONDS = [1, 5, 5, 31, 31, 31, 61, 61, 61, 601, 3600, 3600, 25 * 3600, 73 * 3600]
STEPS = st.sampled_from([1, 2, 3, 4, 5, 6, 20])
"""From a claim to a finished report are six; twenty are enough for a message of several dispatches."""


class FickleProvider(ScriptedProvider):
    """A provider that knows what it has said about each phone. Here each phone gets one message."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = "accepted"
        self.told: dict[str, str] = {}
        self.dispatch_ids: dict[str, int] = {}
        self.repeated: list[str] = []

    async def submit(self, submission: Submission) -> Outcome:
        for recipient in submission.recipients:
            if self.told.get(recipient.phone_e164, "later") != "later":
                self.repeated.append(recipient.phone_e164)
            self.told[recipient.phone_e164] = self.answer
            self.dispatch_ids[recipient.phone_e164] = submission.dispatch_id
        return ANSWERS[self.answer]


class AnyOrder(RuleBasedStateMachine):
    """Everything that can happen to the messages of one brand."""

    def __init__(self) -> None:
        super().__init__()
        self.exit = contextlib.ExitStack()
        self.exit.enter_context(capture_logs())
        self.runner = self.exit.enter_context(asyncio.Runner())
        directory = Path(self.exit.enter_context(tempfile.TemporaryDirectory()), "state")
        directory.mkdir()
        self.provider = FickleProvider()
        self.parts = contextlib.AsyncExitStack()
        running = running_chain(directory, self.provider, CREDITS, international=True)
        self.chain: Chain = self.run(self.parts.enter_async_context(running))
        self.consumers: list[SteppedConsumer] = []
        self.requests: list[pb.SendSmsRequest] = []
        self.numbers = itertools.count(1)
        self.kept_receipts: list[Receipt] = []
        """Those that could not be handled: the inbox keeps them, and has them come again."""
        self.is_broken = False

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        try:
            return self.runner.run(work)
        except BaseException:
            self.is_broken = True
            raise

    def teardown(self) -> None:
        try:
            if not self.is_broken:
                self.run(self.end())
        finally:
            self.runner.run(self.parts.aclose())
            self.exit.close()

    # The app.

    @precondition(lambda self: len(self.requests) < REQUESTS_MAX)
    @rule(
        count=st.integers(1, 3),
        sms_type=st.sampled_from(TYPES),
        length=st.sampled_from([5, 100]),
        delay_ms=st.sampled_from([0, 0, HOUR_MS]),
        abroad=st.booleans(),
    )
    def send(self, count: int, sms_type: pb.SmsType.ValueType, length: int, delay_ms: int, *, abroad: bool) -> None:
        phones = [phone(next(self.numbers)) for _ in range(count)]
        phones += [f"+1201{2_000_000 + next(self.numbers)}"] * abroad
        now_ms = self.chain.mesh.clock.now_ms
        changes = {"schedule_time": to_timestamp(now_ms + delay_ms)} if delay_ms else {}
        self.requests.append(self.chain.mesh.request(*phones, type=sms_type, content="x" * length, **changes))
        self.run(self._send(self.requests[-1]))

    async def _send(self, request: pb.SendSmsRequest) -> None:
        with contextlib.suppress(DomainError):
            await self.chain.mesh.sms_peer.call(self.chain.mesh.sms.SendSms, request)

    @precondition(lambda self: self.requests)
    @rule(position=st.integers(0, 100), whole=st.booleans())
    def cancel(self, position: int, *, whole: bool) -> None:
        self.run(self._cancel(position, whole=whole))

    async def _cancel(self, position: int, *, whole: bool) -> None:
        messages, rows = self.chain.mesh.messages, await self.chain.mesh.rows(tables.record)
        row = rows[position % len(rows)] if rows else {"task_id": 1, "record_id": 1}
        with contextlib.suppress(DomainError):
            if whole:
                await messages.cancel_task(BRAND, row["task_id"])
            else:
                await messages.cancel(BRAND, row["record_id"])

    # Consumers.

    @precondition(lambda self: self.requests and len(self.consumers) < CONSUMERS_MAX)
    @rule(position=st.integers(0, 100), steps=STEPS, answer=st.sampled_from(sorted(ANSWERS)))
    def take_message(self, position: int, steps: int, answer: str) -> None:
        self.run(self._take_message(position))
        if self.consumers:
            self.step(-1, steps, answer)

    async def _take_message(self, position: int) -> None:
        mesh = self.chain.mesh
        if mesh.bus.is_away:
            return
        queues = [one for one in await mesh.bus.queues("sms.send.") if (await mesh.bus.depth(one)).ready]
        for delivery in await mesh.bus.receive(queues[position % len(queues)], 1, 30) if queues else []:
            name = f"consumer-{next(self.numbers)}"
            process = await open_process(mesh, name, self.chain.accounts, self.parts)
            self.consumers.append(SteppedConsumer(self.chain, process, delivery))
            await self.consumers[-1].stand_still()

    @precondition(lambda self: self.requests and not self.chain.mesh.bus.is_away)
    @rule(answer=st.sampled_from(sorted(ANSWERS)))
    def work(self, answer: str) -> None:
        self.provider.answer = answer
        self.run(self.chain.work())

    @precondition(lambda self: self.consumers and not self.chain.mesh.bus.is_away)
    @rule(answer=st.sampled_from(sorted(ANSWERS)))
    def overtake(self, answer: str) -> None:
        """Let those who stand still sleep through their leases, while others do their work."""
        self.provider.answer = answer
        self.run(self.chain.go_on(CLAIM_SECONDS + SUBMIT_SECONDS))

    @precondition(lambda self: self.consumers)
    @rule(position=st.integers(0, 100), steps=STEPS, answer=st.sampled_from(sorted(ANSWERS)))
    def step(self, position: int, steps: int, answer: str) -> None:
        self.provider.answer = answer
        self.run(self._step(position % len(self.consumers), steps))

    async def _step(self, position: int, steps: int) -> None:
        consumer = self.consumers[position]
        for step in range(steps):
            if consumer.gates:
                await consumer.let_through(step)
        if consumer.task.done():
            await self.consumers.pop(position).task

    @precondition(lambda self: self.consumers)
    @rule(position=st.integers(0, 100))
    def crash(self, position: int) -> None:
        self.run(self.consumers.pop(position % len(self.consumers)).die())

    # Receipts of the provider, and what the cost center makes of them.

    @precondition(lambda self: not SENT.isdisjoint(self.provider.told.values()))
    @rule(position=st.integers(0, 100), verdict=st.sampled_from(Verdict))
    def push_receipt(self, position: int, verdict: Verdict) -> None:
        sent = [e164 for e164, answer in self.provider.told.items() if answer in SENT]
        e164 = sent[position % len(sent)]
        pushed = replace(receipt(self.provider.dispatch_ids[e164], verdict), phone_e164=e164)
        try:
            self.runner.run(self.chain.receive(pushed))
        except DomainError:
            self.kept_receipts.append(pushed)

    # What goes wrong.

    @precondition(lambda self: self.requests)
    @rule(what=st.sampled_from(MISHAPS), is_done=st.booleans(), position=st.integers(0, 100))
    def go_wrong(self, what: str, position: int, *, is_done: bool) -> None:
        mesh = self.chain.mesh
        match what:
            case "bus goes" | "bus comes":
                mesh.bus.is_away = what == "bus goes"
            case "queues are lost":
                mesh.bus.lose_everything()
            case "request again":
                self.run(self._send(self.requests[position % len(self.requests)]))
            case "message again":
                self.run(self._repeat_message(position))
            case _:
                (mesh.faults.lose_answer if is_done else mesh.faults.refuse)(what, grpc.StatusCode.ABORTED)

    async def _repeat_message(self, position: int) -> None:
        rows = await self.chain.mesh.rows(tables.dispatch)
        if rows and not self.chain.mesh.bus.is_away:
            row = rows[position % len(rows)]
            queue = queue_name(BRAND, SmsType(row["sms_type"]), SmsMode(row["mode"]))
            await publish_ids(self.chain.mesh.bus, queue, [row["dispatch_id"]])

    @precondition(lambda self: self.requests)
    @rule(seconds=st.sampled_from(PAUSES_SECONDS), is_swept=st.booleans(), is_applied=st.booleans())
    def pass_time(self, seconds: int, *, is_swept: bool, is_applied: bool) -> None:
        self.chain.mesh.clock.pass_seconds(seconds)
        if is_swept:
            self.run(self.chain.sweep())
        if is_applied:
            self.run(self.chain.mesh.apply_jobs())

    # What holds.

    @invariant()
    def nothing_is_submitted_twice(self) -> None:
        assert self.provider.repeated == []

    @invariant()
    def credits_are_where_they_can_be(self) -> None:
        account = self.runner.run(self.chain.mesh.account())
        assert account.available + account.frozen + account.spent == CREDITS
        assert min(account.available, account.frozen, account.spent) >= 0

    async def end(self) -> None:
        """Let everything be well and all time be over; then every message has its end, and its price."""
        mesh = self.chain.mesh
        mesh.faults.clear()
        mesh.bus.is_away = False
        self.provider.answer = "accepted"
        for consumer in self.consumers:
            await consumer.finish()
        for one in self.kept_receipts:
            await self.chain.receive(one)
        await self.chain.run_out()
        self.nothing_is_submitted_twice()
        rows = await mesh.rows(tables.record)
        for row in rows:
            assert row["status"] in self._possible_ends(row), row
        kept = sum(row["segments"] for row in rows if row["status"] in {"DELIVERED", "UNCONFIRMED"})
        await self.chain.costs(kept)
        async with mesh.center_database.read() as connection:
            states = (await connection.execute(sa.select(costcenter_tables.freeze.c.state))).scalars().all()
        assert "FROZEN" not in states

    def _possible_ends(self, row: dict[str, Any]) -> set[str]:
        """Say how a message may end, by what the provider said about it."""
        without_receipt = row["failure_reason"] in {"UNDELIVERED", "NO_RECEIPT"}
        match self.provider.told.get(row["phone"]):
            case None:
                return {"FAILED", "CANCELLED"}
            case "accepted":
                return {"DELIVERED", "UNCONFIRMED"} | ({"FAILED"} if without_receipt else set())
            case "lost, and sent":
                return {"DELIVERED"} | ({"FAILED"} if without_receipt else set())
            case _:
                return {"FAILED"}


TestAnyOrder = pytest.mark.timeout(300)(AnyOrder.TestCase)
TestAnyOrder.settings = settings(
    # On a server what differs is the statements, which fewer histories go through.
    max_examples=6 if SERVER_URL else 15,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
