"""Statements that were put together once, on whatever database the suite runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa

from mesh.bulk_rows import insert_rows
from mesh.database import Database
from mesh.statements import IN_MAX, PAIRS_MAX, _select_pairs, execute_many, read_in, read_pairs, select_in
from tests.databases import SERVER_URL, trial_database

metadata = sa.MetaData()

fruit = sa.Table(
    "fruit",
    metadata,
    sa.Column("fruit_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(40), nullable=False),
    sa.Column("ripe", sa.Boolean, nullable=False),
)

stall = sa.Table(
    "stall",
    metadata,
    sa.Column("market", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(40), primary_key=True),
)

_RIPEN = (
    sa.update(fruit)
    .where(fruit.c.fruit_id == sa.bindparam("id"), sa.or_(fruit.c.name == "pear", fruit.c.name == "plum"))
    .values(ripe=True, name=sa.bindparam("new_name"))
)
_BY_NAME = select_in(fruit, "name").where(fruit.c.ripe == sa.bindparam("ripe")).order_by(fruit.c.fruit_id)


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with trial_database(tmp_path, metadata) as made:
        yield made


async def test_each_row_changes_its_own_and_the_values_of_the_statement_itself_hold(database: Database) -> None:
    names = ["pear", "plum", "apple"]
    async with database.write() as connection:
        grown = [(number, name, False) for number, name in enumerate(names)]
        await insert_rows(connection, fruit, ("fruit_id", "name", "ripe"), grown)
        await execute_many(connection, _RIPEN, [{"new_name": f"ripe {name}", "id": n} for n, name in enumerate(names)])
        rows = (await connection.execute(sa.select(fruit).order_by(fruit.c.fruit_id))).all()
    assert [tuple(row) for row in rows] == [(0, "ripe pear", True), (1, "ripe plum", True), (2, "apple", False)]


@pytest.mark.parametrize("markets", [1, 2, 3, PAIRS_MAX, 2 * PAIRS_MAX + 1])
async def test_pairs_are_found_and_nothing_else(database: Database, markets: int) -> None:
    stalls = [(market, name) for market in range(markets) for name in ("corner", "gate", "well")]
    wanted = [(market, "gate") for market in range(markets)] + [(0, "well"), (markets, "gate"), (0, "nowhere")]
    async with database.write() as connection:
        await insert_rows(connection, stall, ("market", "name"), stalls)
        found = [tuple(row) for row in await read_pairs(connection, stall, ("market", "name"), wanted)]
    assert sorted(found) == sorted(set(wanted) & set(stalls))
    assert len(found) == markets + 1


async def test_many_pairs_of_one_kind_and_none(database: Database) -> None:
    stalls = [(7, f"{number}") for number in range(IN_MAX + 1)]
    async with database.write() as connection:
        await insert_rows(connection, stall, ("market", "name"), stalls)
        assert len(await read_pairs(connection, stall, ("market", "name"), [*stalls, (7, "no")])) == IN_MAX + 1
        assert await read_pairs(connection, stall, ("market", "name"), []) == []


async def test_pairs_do_not_read_the_whole_table(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("servers read a small table as they please")
    async with database.read() as connection:
        pairs = {f"{name}_{place}": f"{place}" for place in range(PAIRS_MAX) for name in ("first", "second")}
        compiled = (
            _select_pairs(stall, ("market", "name"), PAIRS_MAX)
            .params(**pairs)
            .compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        )
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")).all()
    assert not [step for step in plan if "SCAN" in step[-1]]
    assert [step for step in plan if "SEARCH" in step[-1]]


async def test_more_values_than_one_list_holds_are_read_in_several(database: Database) -> None:
    count = 2 * IN_MAX + 1
    async with database.write() as connection:
        rows = [(number, f"{number:05d}", number % 2 == 0) for number in range(count)]
        await insert_rows(connection, fruit, ("fruit_id", "name", "ripe"), rows)
        found = await read_in(connection, _BY_NAME, {name for _, name, _ in rows} | {"none"}, ripe=True)
        nothing = await read_in(connection, _BY_NAME, (), ripe=True)
    assert [row.fruit_id for row in found] == list(range(0, count, 2))
    assert nothing == []


@pytest.mark.skipif(not SERVER_URL, reason="SQLite has one writer")
async def test_rows_of_a_small_table_are_locked_alone(database: Database) -> None:
    lock = select_in(fruit, "fruit_id").with_for_update()
    async with database.write() as connection:
        await insert_rows(connection, fruit, ("fruit_id", "name", "ripe"), [(n, "pear", False) for n in range(6)])
    async with database.write() as one, database.write() as other:
        await read_in(one, lock, [0, 2, 4])
        async with asyncio.timeout(1):
            assert len(await read_in(other, lock, [1, 3, 5])) == 3
