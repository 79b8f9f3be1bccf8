"""From ids to work under way: claims, made one after another, and a task for each call that they lead to.

What is claimed queues for its turn to be sent before the next claim is made. So of one brand what is due first leaves
first, at the rate that txim_rpc allows; brands that wait at the same time share the claims evenly.

No claim outlasts its use. At most `CLAIMED_MAX` records are held: at Tencent's 200 a second they leave within 5 s, and
where n processes share that rate, within 5 s * n. Before each send its lease is looked at, and one that might outlast
it is given back to be tried again. So a send ends within its lease however slow Tencent is, and a crash makes records
late by one lease and not more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import grpc

from brandmesh.messagecenter.v1.messagecenter_pb2 import ImDelivery
from mesh import telemetry
from mesh.coalesce import Coalescer
from mesh.ending import end
from mesh.errors import DomainError
from mesh.outage import is_outage
from messagecenter_rmq.clients import ImRecords
from messagecenter_rmq.planning import Plan, plan
from messagecenter_rmq.sending import Sender
from messagecenter_rmq.window import Window

CLAIMED_MAX = 1000
_IDS_A_CLAIM = 500
"""Half of what may be held, so that the next claim is made while what the last one brought is being sent."""

_PENDING_MAX = 200_000

Work: TypeAlias = "asyncio.Task[None] | None"
"""The work on a record, or None where it was left out: another has it, or it is done."""

log = telemetry.logger()


class Wanted(NamedTuple):
    """A record that a queue named."""

    queue: str
    record_id: int


class Pipeline:
    """Claims records, and owns the work on them. Once `stop` is set it claims no more, and finishes what it has."""

    def __init__(
        self, records: ImRecords, sender: Sender, recipients_max: int, lease_seconds: float, stop: asyncio.Event
    ) -> None:
        self._records = records
        self._sender = sender
        self._recipients_max = recipients_max
        self._lease_seconds = lease_seconds
        self._stop = stop
        self._is_closed = False
        self._held = Window(CLAIMED_MAX)
        self._works: set[asyncio.Task[None]] = set()
        self._claims: Coalescer[Wanted, Work] = Coalescer(
            self._claim,
            name="claiming records",
            batch_max=_IDS_A_CLAIM,
            pending_max=_PENDING_MAX,
            key=lambda wanted: wanted.queue,
        )

    async def aclose(self) -> None:
        """End what nobody waited for until now: its leases run out, and the sweep takes it up."""
        self._is_closed = True
        await end(*self._works)
        await self._claims.close()
        await end(*self._works)

    async def start(self, queue: str, record_ids: Sequence[int]) -> list[Work | BaseException]:
        """Claim records and start the work on them; answer that, or why there was no claim, in order.

        The work goes on whoever waits for it, and never fails: what goes wrong with it is left to the sweep. Raises
        DomainError when too much waits already.
        """
        return await self._claims.submit_all([Wanted(queue, record_id) for record_id in record_ids])

    async def _claim(self, wanted: Sequence[Wanted]) -> list[Work]:
        await self._held.enter(len(wanted))
        works: dict[int, asyncio.Task[None]] = {}
        try:
            if self._stop.is_set() or self._is_closed:
                raise DomainError(grpc.StatusCode.UNAVAILABLE, "STOPPING", "this process stops; another takes over")
            lease_ends_at = self._sender.loop_seconds() + self._lease_seconds
            for delivery in await self._records.claim([one.record_id for one in wanted]):
                works |= self._begin(delivery, lease_ends_at)
        finally:
            self._held.leave(len(wanted) - len(works))
        return [works.get(one.record_id) for one in wanted]

    def _begin(self, delivery: ImDelivery, lease_ends_at: float) -> dict[int, asyncio.Task[None]]:
        """Start the work on a delivery: a task for each call, and one to record what is decided without."""
        works: dict[int, asyncio.Task[None]] = {}
        planned = self._plan(delivery)
        if planned.outcomes:
            record_ids = [record_id for one in planned.outcomes for record_id in one.record_ids]
            recording = partial(self._sender.record, delivery, planned.outcomes, lease_ends_at)
            works |= dict.fromkeys(record_ids, self._own(delivery, len(record_ids), recording))
        for send in planned.sends:
            record_ids = [recipient.record_id for recipient in send.recipients]
            sending = partial(self._sender.send, send, lease_ends_at)
            works |= dict.fromkeys(record_ids, self._own(delivery, len(record_ids), sending))
        return works

    def _plan(self, delivery: ImDelivery) -> Plan:
        try:
            return plan(delivery, self._sender.now_ms(), self._recipients_max)
        except Exception:
            log.exception("delivery is left to the sweep", call_id=delivery.call_id)
            return Plan()

    def _own(self, delivery: ImDelivery, records: int, function: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        async def work() -> None:
            try:
                await function()
            except Exception as error:
                if is_outage(error):
                    log.warning("delivery is left to the sweep", call_id=delivery.call_id, error=str(error))
                else:
                    log.exception("delivery is left to the sweep", call_id=delivery.call_id)

        def ended(task: asyncio.Task[None]) -> None:
            self._works.discard(task)
            self._held.leave(records)

        task = asyncio.create_task(work(), name=f"call {delivery.call_id}")
        self._works.add(task)
        task.add_done_callback(ended)
        return task
