"""Releases and receipts as stored jobs: written before the caller is answered, applied behind a queue.

The row is the truth and the queue message only names it, so a lost message is published again from the row, and a
duplicate finds the row applied. A receipt that confirms what was charged, as nearly all do, changes nothing: its row is
all that there is to do, and remembers it for who reports it again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from costcenter_rpc import queries, tables
from costcenter_rpc.domain import (
    Answer,
    FreezeState,
    PrePay,
    Refusal,
    Release,
    ReportReceipt,
    body_hash,
    request_key,
)
from costcenter_rpc.ledger import Ledger, account_not_found, as_error
from mesh import telemetry
from mesh.bus.id_messages import publish_ids
from mesh.bus.port import Bus, BusUnavailableError
from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError

RELEASE_QUEUE = "costcenter.release"
RECEIPT_QUEUE = "costcenter.receipt"

JobOperation: TypeAlias = Release | ReportReceipt
_OPERATIONS: dict[str, type[Release | ReportReceipt]] = {
    Release.kind: Release,
    ReportReceipt.kind: ReportReceipt,
}
_FIELDS = {kind: tuple(field.name for field in dataclasses.fields(of)) for kind, of in _OPERATIONS.items()}
"""What is stored of each. `dataclasses.asdict` would copy every value, which takes ten times as long."""

_QUEUES = {Release.kind: RELEASE_QUEUE, ReportReceipt.kind: RECEIPT_QUEUE}

log = telemetry.logger()


class JobState(StrEnum):
    """Where a job stands, and who acts next."""

    PENDING = "PENDING"  # next: costcenter_rmq applies it
    APPLIED = "APPLIED"  # terminal
    REFUSED = "REFUSED"  # terminal; `reason` says why
    NOTED = "NOTED"  # terminal: there was nothing to apply


class JobOutcome(StrEnum):
    APPLIED = "APPLIED"
    REFUSED = "REFUSED"
    RETRY = "RETRY"


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a replay found."""

    replayed: int
    oldest_age_seconds: int


class Jobs:
    """Stores jobs by group commit, publishes their ids, and applies them to the ledger."""

    def __init__(self, database: Database, ledger: Ledger, bus: Bus) -> None:
        self._database = database
        self._ledger = ledger
        self._bus = bus
        self._store: Coalescer[JobOperation, int] = Coalescer(
            self._store_batch, name="the job store", batch_max=1000, pending_max=50_000
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._store.close()

    async def store_all(self, operations: Sequence[JobOperation]) -> list[int | BaseException]:
        """Store operations durably; answer the id of each job, or why it is refused at once."""
        return await self._store.submit_all(operations)

    async def _store_batch(self, operations: Sequence[JobOperation]) -> list[int | BaseException]:
        async with self._database.write(bulk=True) as connection:
            now_ms = await self._database.now_ms(connection)
            stored = await _read_by_key(connection, [_key(operation) for operation in operations])
            new = [operation for operation in operations if _key(operation) not in stored]
            refusals = await _find_refusals(connection, new)
            rows = [_row(operation, now_ms) for operation in new if operation not in refusals]
            await self._database.insert_ignore(connection, tables.job, rows)
            created = await _read_by_key(connection, [row["key"] for row in rows])
        await self._publish_quietly([job for job in created.values() if job.state == JobState.PENDING])
        stored.update(created)
        return [refusals.get(operation) or _job_id(stored[_key(operation)], operation) for operation in operations]

    async def _publish_quietly(self, jobs: Sequence[Any]) -> None:
        """Publish what was stored. When the bus is away, the replay does it later: the caller has its promise."""
        try:
            await self._publish(jobs)
        except BusUnavailableError as error:
            log.warning("jobs wait for the replay", count=len(jobs), error=str(error))

    async def _publish(self, jobs: Sequence[Any]) -> None:
        for kind, queue in _QUEUES.items():
            await publish_ids(self._bus, queue, [job.job_id for job in jobs if job.kind == kind])

    async def apply(self, job_ids: Sequence[int]) -> list[JobOutcome]:
        """Apply jobs in the order given; answer each. A job that is not known counts as applied: it is old."""
        async with self._database.read() as connection:
            statement = sa.select(tables.job).where(tables.job.c.job_id.in_(job_ids))
            jobs = {row.job_id: row for row in await connection.execute(statement)}
        named = [jobs[job_id] for job_id in dict.fromkeys(job_ids) if job_id in jobs]
        pending = [job for job in named if job.state == JobState.PENDING]
        answers = await self._ledger.apply_all([_operation(job) for job in pending])
        outcomes = {job.job_id: JobOutcome.REFUSED for job in named if job.state == JobState.REFUSED}
        outcomes |= {job.job_id: _outcome(answer) for job, answer in zip(pending, answers, strict=True)}
        await self._close(
            [
                (job.job_id, outcomes[job.job_id], answer.reason if isinstance(answer, DomainError) else "")
                for job, answer in zip(pending, answers, strict=True)
                if outcomes[job.job_id] is not JobOutcome.RETRY
            ]
        )
        return [outcomes.get(job_id, JobOutcome.APPLIED) for job_id in job_ids]

    async def _close(self, closed: Sequence[tuple[int, JobOutcome, str]]) -> None:
        if not closed:
            return
        for job_id, outcome, reason in closed:
            if outcome is JobOutcome.REFUSED:
                log.warning("job refused", job_id=job_id, reason=reason)
        statement = (
            sa.update(tables.job)
            .where(tables.job.c.job_id == sa.bindparam("id"), tables.job.c.state == JobState.PENDING.value)
            .values(state=sa.bindparam("to_state"), reason=sa.bindparam("to_reason"))
        )
        rows = [{"id": job_id, "to_state": outcome.value, "to_reason": reason} for job_id, outcome, reason in closed]
        async with self._database.write(bulk=True) as connection:
            await connection.execute(statement, rows)

    async def replay(self, older_than_seconds: int, jobs_max: int = 10_000) -> Backlog:
        """Publish again what was queued longer ago than this and is still pending. Raises BUS_UNAVAILABLE."""
        table = tables.job
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            pending = table.c.state == JobState.PENDING.value
            due = table.c.queued_at_ms <= now_ms - older_than_seconds * 1000
            statement = sa.select(table).where(pending, due).order_by(table.c.queued_at_ms).limit(jobs_max)
            jobs = (await connection.execute(statement)).all()
            oldest_ms = (
                await connection.execute(sa.select(sa.func.min(table.c.created_at_ms)).where(pending))
            ).scalar()
        await self._publish_again(jobs, now_ms)
        return Backlog(len(jobs), (now_ms - oldest_ms) // 1000 if oldest_ms else 0)

    async def _publish_again(self, jobs: Sequence[Any], now_ms: int) -> None:
        if not jobs:
            return
        try:
            await self._publish(jobs)
        except BusUnavailableError as error:
            message = "the jobs are stored and their queue is away; repeat later"
            raise DomainError(grpc.StatusCode.UNAVAILABLE, "BUS_UNAVAILABLE", message) from error
        mark = sa.update(tables.job).where(tables.job.c.job_id == sa.bindparam("id")).values(queued_at_ms=now_ms)
        async with self._database.write(bulk=True) as connection:
            await connection.execute(mark, [{"id": job.job_id} for job in jobs])


async def _find_refusals(
    connection: AsyncConnection, operations: Sequence[JobOperation]
) -> dict[JobOperation, DomainError]:
    """Say at once what no later try can change: an unknown account or payment, a freeze that is paid in full."""
    refusals: dict[JobOperation, DomainError] = {}
    brand_ids = {operation.brand_id for operation in operations}
    known_brands = await queries.existing_brands(connection, brand_ids)
    receipts = {operation.payment_id for operation in operations if isinstance(operation, ReportReceipt)}
    known_payments = await queries.existing_payments(connection, receipts)
    releases = [operation for operation in operations if isinstance(operation, Release)]
    states = await queries.freeze_states(
        connection, {request_key(PrePay.kind, one.brand_id, one.freeze_request_id) for one in releases}
    )
    for operation in operations:
        if operation.brand_id not in known_brands:
            refusals[operation] = account_not_found(operation.brand_id)
        elif isinstance(operation, ReportReceipt):
            if (operation.brand_id, operation.payment_id) not in known_payments:
                refusals[operation] = as_error(Refusal("PAYMENT_NOT_FOUND", f"no payment {operation.payment_id}"))
        elif states.get(request_key(PrePay.kind, operation.brand_id, operation.freeze_request_id)) == FreezeState.PAID:
            refusals[operation] = as_error(
                Refusal("FREEZE_ALREADY_PAID", f"the freeze of request {operation.freeze_request_id} is paid")
            )
    return refusals


async def _read_by_key(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, Any]:
    table = tables.job
    found: dict[str, Any] = {}
    for start in range(0, len(keys), 500):
        statement = sa.select(table).where(table.c.key.in_(keys[start : start + 500])).order_by(table.c.job_id)
        found.update({row.key: row for row in await connection.execute(statement)})
    return found


def _key(operation: JobOperation) -> str:
    return request_key(operation.kind, operation.brand_id, operation.request_id)


def _changes_nothing(operation: JobOperation) -> bool:
    return isinstance(operation, ReportReceipt) and operation.difference == 0


def _row(operation: JobOperation, now_ms: int) -> dict[str, Any]:
    return {
        "key": _key(operation),
        "kind": operation.kind,
        "body_hash": body_hash(operation),
        "operation": json.dumps(
            {name: getattr(operation, name) for name in _FIELDS[operation.kind]}, separators=(",", ":")
        ),
        "state": (JobState.NOTED if _changes_nothing(operation) else JobState.PENDING).value,
        "reason": "",
        "created_at_ms": now_ms,
        "queued_at_ms": now_ms,
    }


def _job_id(job: Any, operation: JobOperation) -> int | DomainError:
    if job.body_hash != body_hash(operation):
        return as_error(Refusal("KEY_REUSED", f"request id {operation.request_id} was used before with another body"))
    return int(job.job_id)


def _operation(job: Any) -> JobOperation:
    return _OPERATIONS[job.kind](**json.loads(job.operation))


def _outcome(answer: Answer | BaseException) -> JobOutcome:
    if not isinstance(answer, BaseException):
        return JobOutcome.APPLIED
    if isinstance(answer, DomainError) and not answer.is_retryable:
        return JobOutcome.REFUSED
    return JobOutcome.RETRY
