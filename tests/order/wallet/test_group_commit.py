"""Batches that break: a commit whose reply is lost, one that cannot be done, and one debit that spoils the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.errors import DomainError
from order_rpc.wallet import storage, tables
from order_rpc.wallet.audit_rows import audit
from order_rpc.wallet.domain import Answer, CreditCoins, MoneyLogType, TakeCoins
from order_rpc.wallet.ledger import Ledger, apply_within
from tests.databases import empty_database
from tests.order.databases import PARTS

USER, BRAND = 1, 7
OUT_OF_RANGE = 1 << 70
"""An id that no database takes, and no contract lets in."""


class BreakingDatabase(Database):
    """A database whose next transactions break: before their commit, or after it and before its reply."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.breaks_before = 0
        self.breaks_after = 0

    @asynccontextmanager
    async def write(self, *, bulk: bool = False) -> AsyncIterator[AsyncConnection]:
        async with super().write(bulk=bulk) as connection:
            yield connection
            if self.breaks_before:
                self.breaks_before -= 1
                raise away()
        if self.breaks_after:
            self.breaks_after -= 1
            raise away()


def away() -> DomainError:
    return DomainError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "the connection broke")


def debit(order_id: int, amount_fen: int = 100) -> TakeCoins:
    return TakeCoins(USER, BRAND, order_id, amount_fen)


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[BreakingDatabase]:
    one = BreakingDatabase(await empty_database(tmp_path, "order", *PARTS))
    async with one.write() as connection:
        await apply_within(connection, one, [CreditCoins(USER, BRAND, MoneyLogType.EARN, 1, 1_000)])
    yield one
    assert await audit(one, 100) == []
    await one.close()


@pytest_asyncio.fixture
async def ledger(database: BreakingDatabase) -> AsyncIterator[Ledger]:
    async with aclosing(Ledger(database)) as one:
        yield one


async def balance(database: Database) -> int:
    async with database.read() as connection:
        return (await storage.read_wallet(connection, USER, BRAND)).user_money_fen


async def test_a_commit_whose_reply_is_lost_is_found_done(database: BreakingDatabase, ledger: Ledger) -> None:
    database.breaks_after = 2
    assert await ledger.take_all([debit(11), debit(12)]) == [Answer(900), Answer(800)]
    assert await balance(database) == 800


async def test_a_transaction_that_breaks_is_done_again(database: BreakingDatabase, ledger: Ledger) -> None:
    database.breaks_before = 2
    assert await ledger.take_all([debit(11), debit(12)]) == [Answer(900), Answer(800)]
    assert await balance(database) == 800


async def test_a_database_that_stays_away_is_told_and_nothing_is_taken(
    database: BreakingDatabase, ledger: Ledger
) -> None:
    database.breaks_before = 3
    (answer,) = await ledger.take_all([debit(11)])
    assert isinstance(answer, DomainError)
    assert (answer.reason, answer.code) == ("DATABASE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    assert await balance(database) == 1_000
    assert await ledger.take_all([debit(11)]) == [Answer(900)]


async def test_003_09_a_debit_that_the_database_refuses_fails_alone(database: BreakingDatabase, ledger: Ledger) -> None:
    answers = await ledger.take_all([debit(11), debit(OUT_OF_RANGE), debit(12), debit(13)])
    assert isinstance(answers[1], Exception)
    assert [answers[0], *answers[2:]] == [Answer(900), Answer(800), Answer(700)]
    assert await balance(database) == 700


async def test_a_wallet_that_changed_under_its_lock_does_not_commit(
    database: BreakingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be: the old seq in the WHERE stands for the case that a lock is missing."""
    read = storage.read_book

    async def read_stale(connection: AsyncConnection, *arguments: object) -> object:
        book = await read(connection, *arguments)  # type: ignore[arg-type]  # handed on as they came
        await connection.execute(tables.account.update().values(seq=tables.account.c.seq + 1))
        return book

    monkeypatch.setattr(storage, "read_book", read_stale)
    with pytest.raises(AssertionError, match="were as they were read"):
        async with database.write() as connection:
            await apply_within(connection, database, [debit(11)])
