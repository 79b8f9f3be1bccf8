"""Many rows in one statement, on whatever database the suite runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mesh.bulk_rows import insert_rows, update_rows
from mesh.database import Database
from tests.databases import trial_database

parcel = sa.Table(
    "parcel",
    sa.MetaData(),
    sa.Column("parcel_id", sa.String(40), primary_key=True),
    # A word that has to be quoted.
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)
COLUMNS = ("parcel_id", "position", "key", "is_open", "seq")
KEY = ("parcel_id", "position")
HARD_TEXT = "'; --\"?%s%%$1 \\ [1,2] {x} 你好 😀"


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with trial_database(tmp_path, parcel.metadata) as made:
        yield made


async def _rows(database: Database) -> list[tuple[object, ...]]:
    statement = sa.select(parcel).order_by(parcel.c.parcel_id, parcel.c.position)
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(statement)]


async def test_values_arrive_as_they_were(database: Database) -> None:
    rows = [("a", 1, HARD_TEXT, True, 2**62), ("b", -1, "", False, 0)]
    async with database.write() as connection:
        await insert_rows(connection, parcel, COLUMNS, rows)
    assert await _rows(database) == rows


async def test_columns_may_stand_in_any_order(database: Database) -> None:
    async with database.write() as connection:
        await insert_rows(connection, parcel, COLUMNS[::-1], [(5, True, "text", 1, "a")])
    assert await _rows(database) == [("a", 1, "text", True, 5)]


async def test_each_row_is_set_to_its_own_values_and_no_other_row(database: Database) -> None:
    rows = [(str(number), number % 3, "old", True, number) for number in range(2000)]
    changes = [(HARD_TEXT, False, number, str(number), number % 3) for number in range(0, 2000, 2)]
    async with database.write() as connection:
        await insert_rows(connection, parcel, COLUMNS, rows)
        assert await update_rows(connection, parcel, ("key", "is_open", "seq"), KEY, changes) == 1000
    changed = {
        (str(n), n % 3, HARD_TEXT, False, n) if n % 2 == 0 else (str(n), n % 3, "old", True, n) for n in range(2000)
    }
    assert set(await _rows(database)) == changed


async def test_a_column_is_found_by_what_it_was_and_set(database: Database) -> None:
    async with database.write() as connection:
        await insert_rows(connection, parcel, COLUMNS, [("a", 1, "", True, 7), ("b", 1, "", True, 8)])
        moves = [(8, "a", 1, 7), (9, "b", 1, 7)]
        assert await update_rows(connection, parcel, ("seq",), (*KEY, "seq"), moves) == 1
    assert [row[4] for row in await _rows(database)] == [8, 8]


async def test_a_row_that_is_set_to_what_it_is_counts_as_found(database: Database) -> None:
    async with database.write() as connection:
        await insert_rows(connection, parcel, COLUMNS, [("a", 1, "", True, 7)])
        assert await update_rows(connection, parcel, ("seq",), KEY, [(7, "a", 1), (7, "missing", 1)]) == 1


async def test_a_key_that_is_there_already_spoils_the_statement(database: Database) -> None:
    row = ("a", 1, "", True, 7)
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await insert_rows(connection, parcel, COLUMNS, [row, ("b", 1, "", True, 8), row])
    assert await _rows(database) == []


async def test_no_rows_are_no_statement(database: Database) -> None:
    async with database.write() as connection:
        await insert_rows(connection, parcel, COLUMNS, [])
        assert await update_rows(connection, parcel, ("seq",), KEY, []) == 0
