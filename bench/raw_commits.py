"""Commits a second: one row a transaction by the driver alone, durable as the database is by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path

import asyncmy
import asyncpg
from sqlalchemy.engine import URL, make_url

from bench.engine_choice import DatabaseEngine, DatabaseName
from bench.local import empty_directory

CONNECTIONS = (1, 32)
"""One pays the disk for each commit; many may share it. SQLite has one writer."""

COMMITS = 5000
_NAME = "commits"
_TABLE = "CREATE TABLE one (id {key} PRIMARY KEY, text VARCHAR(100) NOT NULL)"
_TEXT = "t" * 50
_INSERT = f"INSERT INTO one (text) VALUES ('{_TEXT}')"  # noqa: S608  # constants

Execute = Callable[[str], Awaitable[object]]
"""Runs one statement in a transaction of its own."""


async def commits_rates(database: DatabaseEngine) -> dict[str, float]:
    """Answer commits a second by what is shown of it."""
    with empty_directory() as state:
        async with database.databases(state, [_NAME]) as template:
            url = make_url(template.replace("{service}", _NAME))
            if database.name is DatabaseName.SQLITE:
                return {"commits, one connection": await asyncio.to_thread(_sqlite_rate, Path(url.database or ""))}
            return {f"commits, connections: {count}": await _server_rate(url, count) for count in CONNECTIONS}


def _sqlite_rate(path: Path) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(_TABLE.format(key="INTEGER"))
        began = time.perf_counter()
        for _ in range(COMMITS):
            connection.execute(_INSERT)
        return COMMITS / (time.perf_counter() - began)


async def _server_rate(url: URL, connections: int) -> float:
    """Let so many connections insert, each its share."""
    is_postgresql = url.get_backend_name() == "postgresql"
    connect = _postgresql if is_postgresql else _mariadb
    key = "BIGINT GENERATED ALWAYS AS IDENTITY" if is_postgresql else "BIGINT AUTO_INCREMENT"
    async with AsyncExitStack() as stack:
        executes = [await connect(url, stack) for _ in range(connections)]
        await executes[0]("DROP TABLE IF EXISTS one")
        await executes[0](_TABLE.format(key=key))
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for execute in executes:
                group.create_task(_insert(execute, COMMITS // connections))
        return COMMITS // connections * connections / (time.perf_counter() - began)


async def _insert(execute: Execute, times: int) -> None:
    for _ in range(times):
        await execute(_INSERT)


async def _postgresql(url: URL, stack: AsyncExitStack) -> Execute:
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    stack.push_async_callback(connection.close)

    async def execute(statement: str) -> None:
        await connection.execute(statement)

    return execute


async def _mariadb(url: URL, stack: AsyncExitStack) -> Execute:
    connection = await asyncmy.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, db=url.database, autocommit=True
    )
    stack.push_async_callback(connection.ensure_closed)
    cursor = connection.cursor()

    async def execute(statement: str) -> None:
        await cursor.execute(statement)

    return execute
