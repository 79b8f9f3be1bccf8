"""Empty, migrated databases for tests: SQLite files, or databases of a server that the environment names."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa

from engines import sql_server
from mesh import migrations
from mesh.database import Database

SERVER_URL = os.environ.get("BRANDMESH_TEST_DATABASE_URL", "")
"""Any database of a server, with a user who may make others there: the tests use their own. Empty: SQLite files."""

Part: TypeAlias = tuple[Path, sa.MetaData]
"""The migrations of a service and the tables that they make."""

_files: dict[tuple[Path, ...], bytes] = {}
"""Migrated SQLite files by migrations: migrating takes longer than most tests."""

_numbers = itertools.count()

_server_urls: dict[str, str] = {}
"""What this process made on the server, by name."""

_migrated: set[tuple[str, Path]] = set()
"""Databases on the server, and the migrations that they have seen."""


async def empty_database(directory: Path, name: str, *parts: Part) -> str:
    """Make a database with the tables that the migrations of its services make and no rows; answer its URL.

    On a server it is one a name and test process, emptied by the next call: a test has one of each.
    """
    if SERVER_URL:
        url = await server_database(name)
        await _empty(url, parts)
        return url
    path = directory / f"{name}.db"
    await asyncio.to_thread(path.write_bytes, await _migrated_file(parts))
    return f"sqlite:///{path}"


async def server_database(name: str) -> str:
    """Make a database of this test process on the server, where it did not yet; answer its URL."""
    if name not in _server_urls:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        _server_urls[name] = await sql_server.create_database(SERVER_URL, f"test_{worker}_{name}")
    return _server_urls[name]


@asynccontextmanager
async def trial_database(directory: Path, metadata: sa.MetaData) -> AsyncIterator[Database]:
    """Open a database that has just the tables of a test, and remove them at the end."""
    database = Database(await server_database("mesh") if SERVER_URL else f"sqlite:///{directory}/trial.db")
    async with database.write() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    yield database
    async with database.write() as connection:
        await connection.run_sync(metadata.drop_all)
    await database.close()


def service_databases(*services: str) -> AbstractAsyncContextManager[str]:
    """Make a database a service on the server, and remove them at the end; answer the URL with {service} in it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return sql_server.service_databases(SERVER_URL, f"test_{worker}_{next(_numbers)}", services)


async def _empty(url: str, parts: Sequence[Part]) -> None:
    database = Database(url)
    for scripts, _ in parts:
        if (url, scripts) not in _migrated:
            await migrations.upgrade(database, scripts)
            _migrated.add((url, scripts))
    tables = [
        table
        for _, metadata in parts
        for table in reversed(metadata.sorted_tables)
        # Its one row comes with the migrations.
        if not table.name.endswith("id_block")
    ]
    async with database.write() as connection:
        # Most tests leave rows in few tables: one question, instead of a statement for each table of a service.
        found = await connection.execute(sa.select(*(sa.exists(sa.select(1).select_from(table)) for table in tables)))
        for table, has_rows in zip(tables, found.one(), strict=True):
            if has_rows:
                await connection.execute(sa.delete(table))
    await database.close()


async def _migrated_file(parts: Sequence[Part]) -> bytes:
    key = tuple(scripts for scripts, _ in parts)
    if key not in _files:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "migrated.db"
            database = Database(f"sqlite:///{path}")
            for scripts in key:
                await migrations.upgrade(database, scripts)
            await database.close()
            _files[key] = await asyncio.to_thread(path.read_bytes)
    return _files[key]
