"""From a request to stored, frozen and queued messages.

    look up the request id -> check -> freeze in the cost center -> store task, records and dispatches -> publish

Nothing is stored or frozen for a request that is not in order. What fails for good after the freeze releases it; when
it is not known whether the rows were stored, the freeze stays for the repeat of the request and expires by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from sqlalchemy.exc import IntegrityError

from mesh import telemetry
from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import IdAllocator
from sms_rpc import storage
from sms_rpc.acceptance import PreparedSend, SendRequest, prepare
from sms_rpc.block_list import blocked_phones
from sms_rpc.clients import CostCenter
from sms_rpc.domain import DispatchState, Record, RecordEvent, Task
from sms_rpc.plan import LARGE, Plan, as_first_answered, freeze_order
from sms_rpc.publisher import Publication, Publisher

ANSWERED_MAX = 1000
"""Messages that an answer names."""

log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a send became: the task, and its first records."""

    task: Task
    records: Sequence[Record]


class Sending:
    """Accepts sends, many at a time."""

    def __init__(self, database: Database, ids: IdAllocator, cost_center: CostCenter, publisher: Publisher) -> None:
        self._database = database
        self._ids = ids
        self._cost_center = cost_center
        self._publisher = publisher
        self._small: Coalescer[SendRequest, Accepted] = Coalescer(
            self._send_batch, name="sending", batch_max=500, pending_max=20_000, in_flight_max=2, key=_brand
        )
        self._large: Coalescer[SendRequest, Accepted] = Coalescer(
            self._send_batch, name="sending of batches", batch_max=1, pending_max=32, key=_brand
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._small.close()
        await self._large.close()

    async def send_all(self, requests: Sequence[SendRequest]) -> list[Accepted | BaseException]:
        """Accept many sends; answer each, in order."""
        if all(len(request.phones) <= LARGE for request in requests):
            return await self._small.submit_all(requests)
        outcomes: list[Accepted | BaseException] = []
        for request in requests:
            lane = self._large if len(request.phones) > LARGE else self._small
            outcomes += await lane.submit_all([request])
        return outcomes

    async def _send_batch(self, requests: Sequence[SendRequest]) -> list[Accepted | BaseException]:
        first_of: dict[tuple[int, str], int] = {}
        for position, request in enumerate(requests):
            first_of.setdefault((request.brand_id, request.request_id), position)
        outcomes: dict[int, Accepted | BaseException] = {}
        plans = await self._plan([(position, requests[position]) for position in first_of.values()], outcomes)
        await self._store(plans, outcomes)
        repeats = [p for p, one in enumerate(requests) if first_of[one.brand_id, one.request_id] != p]
        for position in repeats:
            (outcomes[position],) = await self._send_batch([requests[position]])
        return [outcomes[position] for position in range(len(requests))]

    async def _plan(
        self, requests: Sequence[tuple[int, SendRequest]], outcomes: dict[int, Accepted | BaseException]
    ) -> dict[int, Plan]:
        """Answer repeats and refusals into `outcomes`, and freeze for the rest."""
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            brands = await storage.read_brands(connection, {request.brand_id for _, request in requests})
            keys = [(request.brand_id, request.request_id) for _, request in requests]
            known = await storage.read_tasks_by_request(connection, keys)
        prepared: dict[int, PreparedSend] = {}
        for position, request in requests:
            task = known.get((request.brand_id, request.request_id))
            try:
                if task is not None:
                    outcomes[position] = await self._repeat(task, request.body_hash())
                else:
                    prepared[position] = await _prepare(request, brands, now_ms)
            except DomainError as refusal:
                outcomes[position] = refusal
        return await self._freeze(await self._without_blocked(prepared, outcomes), outcomes, now_ms)

    async def _without_blocked(
        self, prepared: dict[int, PreparedSend], outcomes: dict[int, Accepted | BaseException]
    ) -> dict[int, tuple[PreparedSend, frozenset[str]]]:
        """Answer the sends with those of their phones that are blocked; where all are, refuse it."""
        blocked = await blocked_phones(self._database, list(prepared.values()))
        kept: dict[int, tuple[PreparedSend, frozenset[str]]] = {}
        for (position, send), phones in zip(prepared.items(), blocked, strict=True):
            if len(phones) == len(send.recipients):
                outcomes[position] = _recipient_blocked()
            else:
                kept[position] = send, phones
        return kept

    async def _freeze(
        self,
        prepared: dict[int, tuple[PreparedSend, frozenset[str]]],
        outcomes: dict[int, Accepted | BaseException],
        now_ms: int,
    ) -> dict[int, Plan]:
        orders = [freeze_order(send, blocked, now_ms) for send, blocked in prepared.values()]
        try:
            freezes = await self._cost_center.freeze_all(orders)
        except DomainError as error:
            freezes = [error] * len(orders)
        plans: dict[int, Plan] = {}
        for (position, (send, blocked)), order, freeze in zip(prepared.items(), orders, freezes, strict=True):
            if isinstance(freeze, DomainError):
                outcomes[position] = freeze
                continue
            task_id = await self._ids.allocate(len(send.recipients))
            plans[position] = Plan.lay_out(send, blocked, task_id=task_id, freeze_id=freeze, order=order, now_ms=now_ms)
        return plans

    async def _store(self, plans: dict[int, Plan], outcomes: dict[int, Accepted | BaseException]) -> None:
        """Store and publish. A request id that another process took meanwhile is answered as a repeat."""
        try:
            await self._store_together(list(plans.values()))
        except IntegrityError:
            if len(plans) > 1:
                for position, plan in plans.items():
                    await self._store({position: plan}, outcomes)
                return
            ((position, plan),) = plans.items()
            outcomes[position] = await self._after_conflict(plan)
            return
        except DomainError as error:
            outcomes.update(dict.fromkeys(plans, error))
            return
        for position, plan in plans.items():
            outcomes[position] = Accepted(plan.task, plan.records(0, ANSWERED_MAX))

    async def _after_conflict(self, plan: Plan) -> Accepted | BaseException:
        task = plan.task
        key = (task.brand_id, task.request_id)
        async with self._database.read() as connection:
            known = await storage.read_tasks_by_request(connection, [key])
        stored = known.get(key)
        # Both had the same freeze, unless the block list changed between them.
        if stored is None or stored.freeze_request_id != task.freeze_request_id:
            await self._release(task)
        if stored is not None:
            try:
                return await self._repeat(stored, task.body_hash)
            except DomainError as refusal:
                return refusal
        log.error("a send could not be stored", request_id=task.request_id)
        return DomainError(
            grpc.StatusCode.FAILED_PRECONDITION, "NOT_STORED", "the send could not be stored; use a new request id"
        )

    async def _release(self, task: Task) -> None:
        """Give back what was frozen for a task that was not stored and never can be."""
        try:
            await self._cost_center.release(task.brand_id, f"unstored/{task.task_id}", task.freeze_request_id)
        except DomainError as error:
            log.warning("the freeze of an unstored send expires by itself", error=str(error))

    async def _store_together(self, plans: Sequence[Plan]) -> None:
        """Write everything in one transaction; a large send comes alone and in several, of which the last one counts.

        Until then its dispatches are LOADING, which no consumer takes, and its records belong to no task.
        """
        if not plans:
            return
        small = [plan for plan in plans if not plan.is_large]
        large = [plan for plan in plans if plan.is_large]
        for plan in large:
            await self._load_chunks(plan)
        async with self._database.write() as connection:
            await storage.insert_tasks(connection, [plan.task for plan in plans])
            await storage.insert_records(connection, [one for plan in small for one in plan.records(0, LARGE)])
            await storage.insert_dispatches(connection, [one for plan in small for one in plan.dispatches])
            for plan in large:
                await storage.finish_loading(connection, plan.task.task_id, plan.first_dispatch_state)
        await self._publish([plan for plan in plans if not plan.task.schedule_at_ms])

    async def _load_chunks(self, plan: Plan) -> None:
        for loaded in plan.dispatches:
            start = loaded.dispatch_id - plan.task.task_id
            records = plan.records(start, loaded.record_count)
            async with self._database.write(bulk=True) as connection:
                await storage.insert_records(connection, records)
                await storage.insert_dispatches(connection, [loaded._replace(state=DispatchState.LOADING.value)])

    async def _publish(self, plans: Sequence[Plan]) -> None:
        publications = [
            Publication(one.dispatch_id, one.record_count, plan.task.brand_id, plan.task.sms_type, plan.task.mode)
            for plan in plans
            for one in plan.dispatches
        ]
        failed = await self._publisher.publish(publications)
        if failed:
            await withhold(self._database, failed)

    async def _repeat(self, task: Task, body_hash: str) -> Accepted:
        if task.body_hash != body_hash:
            raise DomainError(
                grpc.StatusCode.ALREADY_EXISTS,
                "KEY_REUSED",
                f"request id {task.request_id} was used before with another body",
            )
        async with self._database.read() as connection:
            count = min(ANSWERED_MAX, task.accepted_count + task.blocked_count)
            records = await storage.read_records(connection, task.task_id, count)
        return Accepted(task, [as_first_answered(task, one) for one in records])


async def _prepare(request: SendRequest, brands: dict[int, bool], now_ms: int) -> PreparedSend:
    if request.brand_id not in brands:
        raise brand_not_found(request.brand_id)
    return await prepare(request, request.body_hash(), international=brands[request.brand_id], now_ms=now_ms)


def _recipient_blocked() -> DomainError:
    return DomainError(
        grpc.StatusCode.FAILED_PRECONDITION,
        "RECIPIENT_BLOCKED",
        "every recipient has unsubscribed from the brand; nothing was sent",
    )


async def withhold(database: Database, publications: Sequence[Publication]) -> None:
    """Note that dispatches are not on their queue, so that the sweep puts them there soon."""
    ranges = [(one.dispatch_id, one.record_count) for one in publications]
    async with database.write() as connection:
        now_ms = await database.now_ms(connection)
        await storage.withhold_dispatches(connection, [one.dispatch_id for one in publications], look_at_ms=now_ms)
        await storage.move_records(connection, RecordEvent.WITHHOLD, ranges, now_ms=now_ms)


def brand_not_found(brand_id: int) -> DomainError:
    """Say that a brand is not known."""
    return DomainError(
        grpc.StatusCode.NOT_FOUND, "BRAND_NOT_FOUND", f"brand {brand_id} is not known to the SMS service"
    )


def _brand(request: SendRequest) -> int:
    return request.brand_id
