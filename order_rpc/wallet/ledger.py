"""The one way to a wallet: operations of all callers that wait at the same moment become one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError
from order_rpc.wallet import storage
from order_rpc.wallet.book import WALLET_SHORT
from order_rpc.wallet.domain import Answer, Operation, Outcome, Refusal, TakeCoins
from order_rpc.wallet.refusals import as_error

_COMMIT_ATTEMPTS = 3
_BATCH_MAX = 500
_PENDING_MAX = 20_000


class OutrunError(Exception):
    """Another process took an order's coins while this one waited for the wallet, which may be short just for that."""


async def apply_within(
    connection: AsyncConnection, database: Database, operations: Sequence[Operation]
) -> list[Outcome]:
    """Do operations in the caller's transaction; answer each, in order. Every change of a balance goes through here.

    Raises IntegrityError or OutrunError when another process was first with an order: done again, the operations see
    what it did.
    """
    book = await storage.read_book(connection, database, operations)
    outcomes = [book.apply(operation) for operation in operations]
    short = [
        operation.order_id
        for operation, outcome in zip(operations, outcomes, strict=True)
        if isinstance(outcome, Refusal) and outcome.reason == WALLET_SHORT
    ]
    # An order that is not known yet has no row that could be locked before its wallet.
    if await storage.has_debits(connection, short):
        raise OutrunError("another process was first with an order, which is looked at again")
    await storage.write_book(connection, book)
    return outcomes


class Ledger:
    """Takes coins for orders, through one coalescer: the start of a sale is a few commits and not thousands."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._taking: Coalescer[TakeCoins, Outcome] = Coalescer(
            self._commit,
            name="the wallets",
            key=lambda wanted: (wanted.user_id, wanted.brand_id),
            batch_max=_BATCH_MAX,
            pending_max=_PENDING_MAX,
            poison=(Exception,),
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._taking.close()

    async def take_all(self, wanted: Sequence[TakeCoins]) -> list[Answer | BaseException]:
        """Take coins for many orders; answer each, in order. A repeat answers the same.

        Answers WALLET_SHORT, KEY_REUSED, and DEBIT_RELEASED for an order that was cancelled. Raises OVERLOADED before
        taking any.
        """
        outcomes = await self._taking.submit_all(wanted)
        return [as_error(outcome) if isinstance(outcome, Refusal) else outcome for outcome in outcomes]

    async def _commit(self, wanted: Sequence[TakeCoins]) -> list[Outcome]:
        """Commit a batch. Where its reply was lost, or another process was first, it is done again and sees that."""
        for attempt in range(1, _COMMIT_ATTEMPTS + 1):
            try:
                async with self._database.write() as connection:
                    return await apply_within(connection, self._database, wanted)
            except (DomainError, sqlalchemy.exc.IntegrityError, OutrunError) as error:
                if attempt == _COMMIT_ATTEMPTS or (isinstance(error, DomainError) and not error.is_retryable):
                    raise
                await asyncio.sleep(0.05 * attempt)
        raise AssertionError("the last attempt returns or raises")
