"""Group commit: operations of all callers that wait at the same moment become one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
from prometheus_client import Histogram

from costcenter_rpc import storage
from costcenter_rpc.domain import Answer, Operation, Outcome, Policy, Refusal
from mesh.coalesce import Coalescer, own
from mesh.database import Database
from mesh.errors import DomainError, FieldViolation

_COMMIT_ATTEMPTS = 3
_BATCH_MAX = 512
_TURN_MIN = 4
"""An account is locked, read and written once a commit, whatever is done to it."""

_TURN_MAX = 64
"""Some 5 ms of one brand's operations, where others wait: its receipts come by the hundred."""

_PENDING_MAX = 50_000

_batch_size = Histogram(
    "costcenter_commit_operations", "Operations in one commit", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)

_CODES: dict[str, grpc.StatusCode] = {
    "ACCOUNT_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "FREEZE_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "PAYMENT_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "KEY_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "INVALID_EXPIRE_TIME": grpc.StatusCode.INVALID_ARGUMENT,
}
"""Every reason that is not here is FAILED_PRECONDITION."""


class Ledger:
    """Applies operations through one coalescer: every change of a balance goes through here.

    A batch may hold several brands. Their accounts are locked in the order of their ids, so two processes never wait
    for each other in a circle; within a brand, operations are done in the order of their arrival.
    """

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy
        self._coalescer: Coalescer[Operation, Outcome] = Coalescer(
            self._commit,
            name="the ledger",
            key=lambda operation: operation.brand_id,
            batch_max=_BATCH_MAX,
            turn_min=_TURN_MIN,
            turn_max=_TURN_MAX,
            pending_max=_PENDING_MAX,
            poison=(Exception,),
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._coalescer.close()

    async def apply(self, operation: Operation) -> Answer:
        """Do one operation. Raises DomainError when the ledger refuses it or is not to be reached."""
        (answer,) = await self.apply_all([operation])
        if isinstance(answer, BaseException):
            raise own(answer)
        return answer

    async def apply_all(self, operations: Sequence[Operation]) -> list[Answer | BaseException]:
        """Do many operations; answer each, in order. Raises OVERLOADED before taking any."""
        outcomes = await self._coalescer.submit_all(operations)
        return [as_error(outcome) if isinstance(outcome, Refusal) else outcome for outcome in outcomes]

    async def _commit(self, operations: Sequence[Operation]) -> list[Outcome | BaseException]:
        """Commit a batch. A commit whose reply was lost is repeated: what it did answers from what it remembered."""
        _batch_size.observe(len(operations))
        for attempt in range(1, _COMMIT_ATTEMPTS + 1):
            try:
                return await self._commit_once(operations)
            except DomainError as error:
                if attempt == _COMMIT_ATTEMPTS or not error.is_retryable:
                    raise
                await asyncio.sleep(0.05 * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _commit_once(self, operations: Sequence[Operation]) -> list[Outcome | BaseException]:
        async with self._database.write() as connection:
            accounts = await storage.lock_accounts(connection, {operation.brand_id for operation in operations})
            now_ms = await self._database.now_ms(connection)
            books = await storage.read_books(connection, accounts, operations, now_ms=now_ms, policy=self._policy)
            outcomes: list[Outcome | BaseException] = [
                books[operation.brand_id].apply(operation)
                if operation.brand_id in books
                else account_not_found(operation.brand_id)
                for operation in operations
            ]
            await storage.write_books(connection, books.values())
        return outcomes


def account_not_found(brand_id: int) -> DomainError:
    """Say that a brand has no account. Not remembered: the account may be opened later."""
    return as_error(Refusal("ACCOUNT_NOT_FOUND", f"brand {brand_id} has no SMS account"))


def as_error(refusal: Refusal) -> DomainError:
    """Turn the domain's refusal into the mesh's error."""
    code = _CODES.get(refusal.reason, grpc.StatusCode.FAILED_PRECONDITION)
    violations = [FieldViolation("expire_time", refusal.message)] if refusal.reason == "INVALID_EXPIRE_TIME" else ()
    return DomainError(code, refusal.reason, refusal.message, refusal.metadata, violations)
