"""One database of one service, on SQLite, MariaDB/MySQL or PostgreSQL.

Services write `async with database.write() as connection:` for one transaction, and nothing is awaited inside it but
the database. SQLite takes the write lock at BEGIN (a read that later writes would get SQLITE_BUSY, which no time-out
cures) and has one writer; the servers run READ COMMITTED with bounded lock waits.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mesh import sqlite_connection
from mesh.database_errors import database_errors, tell_of_broken_connections, translate_failed_connects
from mesh.hurried_first import HurriedFirst
from mesh.tcp_keepalive import keep_alive

LOCK_TIMEOUT_SECONDS = 3
"""How long a statement waits for a lock before the caller is told to come again."""

_WRITER_WAIT_SECONDS = 30
"""How long a transaction waits for the one writer of SQLite."""

_DRIVERS = {"sqlite": "aiosqlite", "mysql": "asyncmy", "mariadb": "asyncmy", "postgresql": "asyncpg"}

Row = Mapping[str, Any]


class Database:
    """Engines for reading and writing, and the few places where the three dialects differ."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        """`url` is any SQLAlchemy URL of the three; the async driver is chosen here."""
        parsed = make_url(url)
        dialect = parsed.get_backend_name()
        if dialect not in _DRIVERS:
            known = ", ".join(sorted(_DRIVERS))
            raise ValueError(f"database_url: {dialect} is not supported, use one of {known}")
        self.url = parsed.set(drivername=f"{dialect}+{_DRIVERS[dialect]}")
        self.is_sqlite = dialect == "sqlite"
        self._turns = HurriedFirst(_WRITER_WAIT_SECONDS)
        if self.is_sqlite:
            Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            self._writer = _sqlite_engine(self.url, pool_size=1, begin="BEGIN IMMEDIATE")
            self._reader = _sqlite_engine(self.url, pool_size=pool_size, begin="BEGIN")
        else:
            self._writer = self._reader = _server_engine(self.url, pool_size)

    @asynccontextmanager
    async def write(self, *, bulk: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back by any exception.

        Where there is one writer, those that wait for it go before those that are a part of something large (`bulk`).

        Raises UNAVAILABLE when the database is away, cannot take the lock in time, or lost the connection: whether the
        transaction was committed is then not known, and the same request may be made again.
        """
        with database_errors():
            turn = self._turns.turn(bulk=bulk) if self.is_sqlite else nullcontext()
            async with turn, self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent read."""
        with database_errors():
            async with self._reader.connect() as connection:
                yield connection

    async def now_ms(self, connection: AsyncConnection) -> int:
        """The database's clock, in milliseconds since 1970 UTC: the one clock that all processes share."""
        if self.is_sqlite:
            return time.time_ns() // 1_000_000
        if self.url.get_backend_name() == "postgresql":
            statement = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        else:
            statement = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)"
        return int((await connection.exec_driver_sql(statement)).scalar_one())

    async def insert_ignore(self, connection: AsyncConnection, table: sa.Table, rows: Sequence[Row]) -> None:
        """Insert the rows whose primary or unique key is not there yet. Raises for any other defect of a row."""
        if not rows:
            return
        await connection.execute(_insert_ignore(self.url.get_backend_name(), table), rows)

    async def ping(self) -> None:
        """Raise UNAVAILABLE unless the database answers."""
        async with self.read() as connection:
            await connection.execute(sa.select(1))

    async def close(self) -> None:
        """Close all connections."""
        await self._writer.dispose()
        await self._reader.dispose()


def _insert_ignore(dialect: str, table: sa.Table) -> sa.Executable:
    # The dialect in use is loaded; the two others would be 4 MB that nobody needs.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.insert(table).on_conflict_do_nothing()
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import mysql  # noqa: PLC0415

    # IGNORE would share the lock of a row that is there, so that two who want to change it next wait for each other,
    # and would cut or leave out a row for other defects. This takes the lock alone, and changes nothing.
    key = next(iter(table.primary_key))
    return mysql.insert(table).on_duplicate_key_update({key.name: key})


def _sqlite_engine(url: URL, *, pool_size: int, begin: str) -> AsyncEngine:
    async def connect() -> sqlite_connection.LoopConnection:
        return await sqlite_connection.connect(url.database or "", LOCK_TIMEOUT_SECONDS)

    engine = create_async_engine(
        url, async_creator=connect, pool_size=pool_size, max_overflow=0, pool_timeout=30, hide_parameters=True
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _server_engine(url: URL, pool_size: int) -> AsyncEngine:
    connect_args: dict[str, Any]
    if url.get_backend_name() == "postgresql":
        lock_timeout_ms = str(LOCK_TIMEOUT_SECONDS * 1000)
        connect_args = {"server_settings": {"lock_timeout": lock_timeout_ms}, "timeout": 5}
    else:
        # The first is for rows. The second is for whole tables, and is a day where nobody says otherwise.
        waits = f"innodb_lock_wait_timeout={LOCK_TIMEOUT_SECONDS}, lock_wait_timeout={LOCK_TIMEOUT_SECONDS}"
        init = f"SET SESSION {waits}, time_zone='+00:00'"
        connect_args = {"connect_timeout": 5, "init_command": init, "charset": "utf8mb4"}
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        connect_args=connect_args,
    )
    translate_failed_connects(engine.sync_engine)
    tell_of_broken_connections(engine.sync_engine)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: object) -> None:
        # Locks and connects have their bounds; an answer that never comes, because the host is gone, has this one.
        # Neither asyncpg nor asyncmy has an option for it, and both name their transport so.
        keep_alive(connection.driver_connection._transport.get_extra_info("socket"))  # noqa: SLF001

    return engine
