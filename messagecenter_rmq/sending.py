"""The last steps of a record: hand it to txim_rpc when it is its turn, and record what became of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from brandmesh.txim.v1.txim_pb2 import ImAccount
from mesh.errors import DomainError
from mesh.retry import full_jitter_seconds
from mesh.timestamps import to_ms
from messagecenter_rmq.checks import EXPIRED, expired
from messagecenter_rmq.clients import ImRecords, TxIm
from messagecenter_rmq.outcomes import outcome, outcome_of_error, outcomes_of_results
from messagecenter_rmq.planning import Send
from messagecenter_rmq.rendering import msg_type_name
from messagecenter_rmq.window import Window

_RECORD_PAUSE_SECONDS_FIRST = 0.2
_RECORD_PAUSE_SECONDS_MAX = 5.0

_outcomes = Counter("im_record_outcomes_total", "Records by what became of them", ["msg_type", "outcome"])
_lateness_seconds = Histogram(
    "im_lateness_seconds",
    "Time from when a record was due until Tencent had it",
    ["msg_type"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800),
)


@dataclass(frozen=True, slots=True)
class SendLimits:
    """How many records are being sent at once, by each of Tencent's commands, and how long one call may take."""

    in_flight_max: int
    timeout_seconds: float


class Sender:
    """Sends in the order in which it is asked to, to one account and to several each in its own.

    A `lease_ends_at` is a time of `loop_seconds`.
    """

    def __init__(
        self, records: ImRecords, txim: TxIm, limits: SendLimits, clock: Callable[[], float] = time.time
    ) -> None:
        self._records = records
        self._txim = txim
        self._limits = limits
        # Tencent gives each of its two commands a rate of its own: no message to one account waits behind large calls.
        self._singles = Window(limits.in_flight_max)
        self._batches = Window(limits.in_flight_max)
        self._clock = clock

    async def send(self, send: Send, lease_ends_at: float) -> None:
        """Send when there is room, and record what became of it. Raises DomainError when that cannot be recorded."""
        window = self._singles if len(send.recipients) == 1 else self._batches
        await window.enter(len(send.recipients))
        try:
            too_late = self._too_late(send, lease_ends_at)
            outcomes = [too_late] if too_late else await self._call(send)
        finally:
            window.leave(len(send.recipients))
        await self.record(send.delivery, outcomes, lease_ends_at)

    async def record(
        self, delivery: pb.ImDelivery, outcomes: Sequence[pb.ImRecordOutcome], lease_ends_at: float
    ) -> None:
        """Record outcomes; while messagecenter_rpc restarts, patiently: until the lease ends nobody else can."""
        for attempt in itertools.count(1):
            pause_seconds = full_jitter_seconds(attempt, _RECORD_PAUSE_SECONDS_FIRST, 2.0, _RECORD_PAUSE_SECONDS_MAX)
            try:
                await self._records.record(outcomes)
                break
            except DomainError as error:
                if not error.is_retryable or self.loop_seconds() + pause_seconds > lease_ends_at:
                    raise
            await asyncio.sleep(pause_seconds)
        for one in outcomes:
            name = pb.ImOutcome.Name(one.outcome).removeprefix("IM_OUTCOME_").lower()
            _outcomes.labels(msg_type_name(delivery.msg_type), name).inc(len(one.record_ids))

    def now_ms(self) -> int:
        return int(self._clock() * 1000)

    @staticmethod
    def loop_seconds() -> float:
        """Read the clock that leases end by."""
        return asyncio.get_running_loop().time()

    def _too_late(self, send: Send, lease_ends_at: float) -> pb.ImRecordOutcome | None:
        """Look again at what changes while a send waits for its turn: the time."""
        if expired(send.delivery, send.recipients[0], self.now_ms()):
            return outcome(send.recipients, pb.IM_OUTCOME_SKIPPED, EXPIRED)
        if self.loop_seconds() + self._limits.timeout_seconds > lease_ends_at:
            return outcome(send.recipients, pb.IM_OUTCOME_RETRY, "LEASE_ENDS")
        return None

    async def _call(self, send: Send) -> list[pb.ImRecordOutcome]:
        accounts = [ImAccount(account=recipient.account, nick=recipient.nick) for recipient in send.recipients]
        try:
            results = await self._txim.send(accounts, send.message)
        except DomainError as error:
            return [outcome_of_error(send.recipients, error)]
        outcomes = outcomes_of_results(send.recipients, results, send.message.text)
        self._observe_lateness(send.delivery, outcomes)
        return outcomes

    def _observe_lateness(self, delivery: pb.ImDelivery, outcomes: Sequence[pb.ImRecordOutcome]) -> None:
        late_seconds = max(0, self.now_ms() - to_ms(delivery.due_time)) / 1000
        lateness = _lateness_seconds.labels(msg_type_name(delivery.msg_type))
        for one in outcomes:
            if one.outcome == pb.IM_OUTCOME_SENT:
                for _ in one.record_ids:
                    lateness.observe(late_seconds)
