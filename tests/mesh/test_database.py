"""What services ask of their database: on SQLite files, or on the server that `BRANDMESH_TEST_DATABASE_URL` names."""

from __future__ import annotations

import asyncio
import random
import socket
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mesh import database as database_module
from mesh import tcp_keepalive
from mesh.database import Database
from mesh.errors import DomainError
from mesh.testing import eventually
from tests.databases import SERVER_URL, server_database

LOCK_SECONDS = 1 if SERVER_URL else 0.2
"""A time-out for locks that a test can wait for. MariaDB knows whole seconds only."""

server_only = pytest.mark.skipif(not SERVER_URL, reason="is about servers")
sqlite_only = pytest.mark.skipif(bool(SERVER_URL), reason="is about SQLite")

metadata = sa.MetaData()
thing = sa.Table(
    "thing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(40), nullable=False, unique=True),
)


@pytest_asyncio.fixture
async def url(tmp_path: Path) -> str:
    return await server_database("mesh") if SERVER_URL else f"sqlite:///{tmp_path}/new/directory/things.db"


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    made = Database(url)
    async with made.write() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    yield made
    async with made.write() as connection:
        await connection.run_sync(metadata.drop_all)
    await made.close()


async def insert(database: Database, *ids: int) -> None:
    async with database.write() as connection:
        await connection.execute(sa.insert(thing), [{"id": one, "name": f"thing {one}"} for one in ids])


async def ids(database: Database) -> list[int]:
    async with database.read() as connection:
        return list((await connection.execute(sa.select(thing.c.id).order_by(thing.c.id))).scalars())


def test_tells_which_databases_it_knows() -> None:
    with pytest.raises(ValueError, match="use one of mariadb, mysql, postgresql, sqlite"):
        Database("oracle://x/y")


async def test_commits_at_the_end_of_the_block(database: Database) -> None:
    await insert(database, 1, 2)
    assert await ids(database) == [1, 2]


async def test_any_exception_rolls_back(database: Database) -> None:
    async def insert_and_fail() -> None:
        async with database.write() as connection:
            await connection.execute(sa.insert(thing).values(id=1, name="one"))
            raise KeyError

    with pytest.raises(KeyError):
        await insert_and_fail()
    assert await ids(database) == []


async def test_a_broken_rule_of_the_tables_rolls_back_and_is_told_as_it_is(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await insert(database, 1, 2, 1)
    assert await ids(database) == []
    await insert(database, 1)


@sqlite_only
async def test_a_reader_sees_one_moment_and_keeps_no_writer_waiting(database: Database) -> None:
    await insert(database, 1)
    async with database.read() as connection:
        count = sa.select(sa.func.count()).select_from(thing)
        assert (await connection.execute(count)).scalar_one() == 1
        await insert(database, 2)
        assert (await connection.execute(count)).scalar_one() == 1
    assert await ids(database) == [1, 2]


@sqlite_only
async def test_the_write_lock_is_taken_before_the_first_read(database: Database) -> None:
    """A read that later writes would be refused at once, whatever time-out is set, when someone wrote in between."""
    other = sqlite3.connect(database.url.database or "", timeout=0)
    async with database.write():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.close()


async def test_writers_of_two_processes_wait_for_each_other(database: Database, url: str) -> None:
    other = Database(url)
    await asyncio.gather(*(insert(one, start + n) for start, one in ((0, database), (100, other)) for n in range(20)))
    assert len(await ids(database)) == 40
    await other.close()


async def test_a_lock_that_is_not_given_back_is_told_as_unavailable(
    database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "LOCK_TIMEOUT_SECONDS", LOCK_SECONDS)
    impatient = Database(url)
    await insert(database, 1)
    async with database.write() as connection:
        await connection.execute(sa.update(thing).values(name="held"))
        started_at = time.monotonic()
        with pytest.raises(DomainError) as refusal:
            await rename(impatient)
        assert LOCK_SECONDS / 2 < time.monotonic() - started_at < LOCK_SECONDS + 2
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert refusal.value.retry_after_seconds
    assert "lock" not in refusal.value.message
    assert "lock" in str(refusal.value.__cause__).lower()
    await rename(impatient)
    await impatient.close()


@server_only
async def test_a_change_of_a_table_waits_no_longer_than_a_statement(
    database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that was left open must not hold a migration, and all who wait behind it, for ever."""
    monkeypatch.setattr(database_module, "LOCK_TIMEOUT_SECONDS", LOCK_SECONDS)
    impatient = Database(url)
    async with database.write() as connection:
        await connection.execute(sa.select(thing))
        started_at = time.monotonic()
        with pytest.raises(DomainError, match="DATABASE_UNAVAILABLE"):
            await add_column(impatient)
        assert LOCK_SECONDS / 2 < time.monotonic() - started_at < LOCK_SECONDS + 2
    await add_column(impatient)
    await impatient.close()


@server_only
async def test_a_host_that_is_gone_without_a_word_is_noticed(database: Database) -> None:
    async with database.read() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        socket_of_it = driver._transport.get_extra_info("socket")
    options = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    )
    found = [socket_of_it.getsockopt(level, option) for level, option in options]
    assert found == [1, tcp_keepalive.IDLE_SECONDS, tcp_keepalive.UNACKNOWLEDGED_MS_MAX]


async def add_column(database: Database) -> None:
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE thing ADD COLUMN size INTEGER")


async def rename(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sa.update(thing).values(name="renamed"))


@sqlite_only
async def test_a_database_that_is_away_is_told_as_unavailable(tmp_path: Path) -> None:
    (tmp_path / "things.db").mkdir()
    threads = set(threading.enumerate())
    away = Database(f"sqlite:///{tmp_path}/things.db")
    with pytest.raises(DomainError, match="DATABASE_UNAVAILABLE"):
        await away.ping()
    await away.close()
    await eventually(lambda: threads.issuperset(threading.enumerate()))


async def test_answers_a_ping(database: Database) -> None:
    await database.ping()


async def test_its_clock_is_the_time(database: Database) -> None:
    async with database.read() as connection:
        before_ms = time.time_ns() // 1_000_000
        now_ms = await database.now_ms(connection)
    assert before_ms - 1 <= now_ms <= time.time_ns() // 1_000_000 + 1


async def test_inserts_what_is_not_there_yet(database: Database) -> None:
    rows = [{"id": 1, "name": "one"}, {"id": 1, "name": "again"}, {"id": 2, "name": "one"}, {"id": 3, "name": "three"}]
    async with database.write() as connection:
        await database.insert_ignore(connection, thing, rows)
        await database.insert_ignore(connection, thing, [])
    async with database.read() as connection:
        assert (await connection.execute(sa.select(thing).order_by(thing.c.id))).all() == [(1, "one"), (3, "three")]


async def test_a_row_with_another_defect_is_not_passed_over(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await database.insert_ignore(connection, thing, [{"id": 1, "name": "one"}, {"id": 2, "name": None}])
    async with database.read() as connection:
        assert (await connection.execute(sa.select(thing))).all() == []


@sqlite_only
async def test_what_was_committed_is_on_the_disk(database: Database) -> None:
    """FULL: a committed transaction outlives a power cut. WAL: readers do not wait for the writer."""
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one() == "wal"
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one() == 2


async def test_callers_cancelled_at_any_moment_leave_no_lock_and_no_half_transaction(database: Database) -> None:
    chance = random.Random(7)  # noqa: S311  # a test that can be repeated
    for number in range(0, 900, 6):
        work = [asyncio.create_task(insert(database, start, start + 1)) for start in range(number, number + 6, 2)]
        work += [asyncio.create_task(_read(database)) for _ in range(2)]
        await asyncio.sleep(chance.random() * 0.006)
        for one in work[:: chance.randint(1, 2)]:
            one.cancel()
        await asyncio.wait(work)
    await insert(database, 1000)
    found = await ids(database)
    assert 1000 in found
    assert all((one ^ 1) in found for one in found if one != 1000)


@pytest.mark.parametrize("moment", range(8))
async def test_a_cancelled_writer_lets_go_of_the_lock_while_its_traceback_is_kept(
    database: Database, moment: int
) -> None:
    """Many rows, which go to the driver's thread: the caller is cancelled while the statement runs."""

    async def write_many() -> None:
        async with database.write() as connection:
            await database.insert_ignore(connection, thing, [{"id": one, "name": "x" * 100} for one in range(20_000)])
            await connection.execute(sa.select(thing))

    writer = asyncio.create_task(write_many())
    await asyncio.sleep(0.002 * moment)
    writer.cancel()
    (kept,) = await asyncio.gather(writer, return_exceptions=True)
    assert isinstance(kept, asyncio.CancelledError)
    await insert(database, 100_000)


async def _read(database: Database) -> None:
    await ids(database)


@sqlite_only
async def test_one_writer_is_had_before_the_parts_of_something_large(database: Database) -> None:
    written: list[str] = []

    async def write(name: str, *, bulk: bool) -> None:
        async with database.write(bulk=bulk) as connection:
            await connection.execute(sa.select(1))
            written.append(name)

    async with asyncio.TaskGroup() as group, database.write() as connection:
        await connection.execute(sa.select(1))
        for name in ("chunk 1", "chunk 2", "code"):
            group.create_task(write(name, bulk=name != "code"))
            await asyncio.sleep(0.01)
        assert not written
    assert written == ["code", "chunk 1", "chunk 2"]
