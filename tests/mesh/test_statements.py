"""Statements that were put together once, on whatever database the suite runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
import sqlalchemy as sa

from mesh.database import Database
from mesh.statements import IN_MAX, execute_many, insert_into, read_in, select_in
from tests.databases import SERVER_URL, server_database

fruit = sa.Table(
    "fruit",
    sa.MetaData(),
    sa.Column("fruit_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(40), nullable=False),
    sa.Column("ripe", sa.Boolean, nullable=False),
)

_RIPEN = (
    sa.update(fruit)
    .where(fruit.c.fruit_id == sa.bindparam("id"), sa.or_(fruit.c.name == "pear", fruit.c.name == "plum"))
    .values(ripe=True, name=sa.bindparam("new_name"))
)
_BY_NAME = select_in(fruit, "name").where(fruit.c.ripe == sa.bindparam("ripe")).order_by(fruit.c.fruit_id)


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(await server_database("mesh") if SERVER_URL else f"sqlite:///{tmp_path}/fruit.db")
    async with made.write() as connection:
        await connection.run_sync(fruit.metadata.drop_all)
        await connection.run_sync(fruit.metadata.create_all)
    yield made
    async with made.write() as connection:
        await connection.run_sync(fruit.metadata.drop_all)
    await made.close()


async def test_rows_are_written_whatever_the_order_of_their_names(database: Database) -> None:
    async with database.write() as connection:
        await execute_many(connection, insert_into(fruit), [{"fruit_id": 1, "name": "pear", "ripe": False}])
        await execute_many(connection, insert_into(fruit), [{"ripe": True, "name": "'; --\"?%s", "fruit_id": 2}])
        rows = (await connection.execute(sa.select(fruit).order_by(fruit.c.fruit_id))).all()
    assert [tuple(row) for row in rows] == [(1, "pear", False), (2, "'; --\"?%s", True)]


async def test_each_row_changes_its_own_and_the_values_of_the_statement_itself_hold(database: Database) -> None:
    names = ["pear", "plum", "apple"]
    async with database.write() as connection:
        grown = [{"fruit_id": number, "name": name, "ripe": False} for number, name in enumerate(names)]
        await execute_many(connection, insert_into(fruit), grown)
        await execute_many(connection, _RIPEN, [{"new_name": f"ripe {name}", "id": n} for n, name in enumerate(names)])
        rows = (await connection.execute(sa.select(fruit).order_by(fruit.c.fruit_id))).all()
    assert [tuple(row) for row in rows] == [(0, "ripe pear", True), (1, "ripe plum", True), (2, "apple", False)]


async def test_more_values_than_one_list_holds_are_read_in_several(database: Database) -> None:
    count = 2 * IN_MAX + 1
    async with database.write() as connection:
        rows = [{"fruit_id": number, "name": f"{number:05d}", "ripe": number % 2 == 0} for number in range(count)]
        await execute_many(connection, insert_into(fruit), rows)
        found = await read_in(connection, _BY_NAME, {row["name"] for row in rows} | {"none"}, ripe=True)
        nothing = await read_in(connection, _BY_NAME, (), ripe=True)
    assert [row.fruit_id for row in found] == list(range(0, count, 2))
    assert nothing == []
