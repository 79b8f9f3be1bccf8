"""Alembic, called from a process: brings a service's tables up to date before it serves.

A migration is the file `versions/{revision}_{what it does}.py`, and revisions sort as they follow each other. So a
process that finds its tables up to date does so without Alembic, which takes 9 MB and 0.1 s to load.

SQLite and PostgreSQL undo a migration that is interrupted. MariaDB and MySQL commit each change of a table at once, so
the next start begins with some of it done: what makes or drops tables, columns and indexes is then skipped where it is
done. Any other statement of a migration must be one that can be made twice, and a table be made as it is to stay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, CreateTable, DropIndex, DropTable
from sqlalchemy.sql.compiler import DDLCompiler

from mesh.database import Database
from mesh.lean_imports import without

LOCK_SECONDS_MAX = 60
_LOCK_POLL_SECONDS = 0.1

_COMMIT_EACH_CHANGE = {"mariadb", "mysql"}
_NOTHING = sa.DDL("DO 0")  # type: ignore[no-untyped-call]  # SQLAlchemy's gap


@compiles(CreateTable, "mysql", "mariadb")
def _create_mysql_table(element: CreateTable, compiler: DDLCompiler, **options: Any) -> str:
    """Tell upper from lower case in ids, as the other databases do: MariaDB's default takes them for equal."""
    statement: str = compiler.visit_create_table(element, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy's gap
    return f"{statement.rstrip()} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


@compiles(CreateTable, "sqlite")
def _create_sqlite_table(element: CreateTable, compiler: DDLCompiler, **options: Any) -> str:
    """Keep rows in the tree of their primary key, as InnoDB does, and not in a second one beside it."""
    statement: str = compiler.visit_create_table(element, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy's gap
    is_numbered = any(column.autoincrement is True for column in element.element.primary_key)
    return statement if is_numbered else f"{statement.rstrip()} WITHOUT ROWID"


async def upgrade(database: Database, directory: Path) -> None:
    """Run the migrations in `directory` that the database has not seen. Safe to call from several processes."""
    version_table = f"{directory.parent.name}_version"
    if await _version(database, version_table) == _newest_revision(directory):
        return
    async with _one_at_a_time(database, version_table), database.write() as connection:
        await connection.run_sync(_run_alembic, directory, version_table)


async def _version(database: Database, version_table: str) -> str | None:
    """Read up to which revision the tables are; None where there are none."""
    async with database.read() as connection:
        if not await connection.run_sync(lambda synchronous: sa.inspect(synchronous).has_table(version_table)):
            return None
        version = sa.table(version_table, sa.column("version_num", sa.String))
        return (await connection.execute(sa.select(version.c.version_num))).scalar()


def _newest_revision(directory: Path) -> str:
    return max(path.name.partition("_")[0] for path in directory.glob("versions/*.py"))


def _run_alembic(connection: sa.Connection, directory: Path, version_table: str) -> None:
    # Mako, which Alembic writes new migrations with, would load pygments for error pages: 4 MB of the 9.
    with without("pygments"):
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415
    config = Config()
    config.set_main_option("script_location", str(directory))
    config.attributes.update(connection=connection, version_table=version_table)
    if connection.dialect.name in _COMMIT_EACH_CHANGE:
        _skip_what_is_done(connection)
    command.upgrade(config, "head")


def _skip_what_is_done(connection: sa.Connection) -> None:
    """Let a migration that was interrupted run again from its top. MySQL has no IF NOT EXISTS for all of its parts."""

    @event.listens_for(connection, "before_execute", retval=True)
    def skip(_: sa.Connection, change: Any, rows: Any, row: Any, __: object) -> tuple[Any, Any, Any]:
        return (_NOTHING if _is_done(sa.inspect(connection), change) else change), rows, row


def _is_done(there: sa.Inspector, change: object) -> bool:
    from alembic.ddl.base import AddColumn, DropColumn  # noqa: PLC0415  # loaded already: it is what changes tables

    match change:
        case CreateTable(element=table):
            # A table of that name with other columns is not ours: the server refuses to make it again.
            return there.has_table(table.name) and _columns(there, table.name) == set(table.columns.keys())
        case DropTable(element=table):
            return not there.has_table(table.name)
        case CreateIndex(element=index) | DropIndex(element=index):
            return there.has_index(str(index.table), str(index.name)) == isinstance(change, CreateIndex)
        case AddColumn(table_name=table_name, column=column) | DropColumn(table_name=table_name, column=column):
            return (column.name in _columns(there, table_name)) == isinstance(change, AddColumn)
    return False


def _columns(there: sa.Inspector, table_name: str) -> set[str]:
    return {column["name"] for column in there.get_columns(table_name)}


class TablesLockedError(Exception):
    """Another process has been changing the tables of this service for too long."""


@asynccontextmanager
async def _one_at_a_time(database: Database, name: str) -> AsyncIterator[None]:
    """Let one process change the tables while others that start with it wait. SQLite's write lock does so by itself.

    The lock is that of a connection of its own, and ends with it: the next in line must not begin before the changes
    are committed.
    """
    if database.is_sqlite:
        yield
        return
    guard = Database(database.url.render_as_string(hide_password=False), pool_size=1)
    try:
        async with guard.read() as connection:
            await _lock(connection, name)
            yield
    finally:
        await guard.close()


async def _lock(connection: AsyncConnection, name: str) -> None:
    deadline = time.monotonic() + LOCK_SECONDS_MAX
    while not (await connection.execute(_try_lock(connection.dialect.name, name))).scalar():
        if time.monotonic() > deadline:
            raise TablesLockedError(f"another process has been changing the tables for {LOCK_SECONDS_MAX} s")
        await asyncio.sleep(_LOCK_POLL_SECONDS)


def _try_lock(dialect: str, name: str) -> sa.Select[Any]:
    # Asked for again and again, because PostgreSQL bounds this wait as it does those for rows, which are much shorter.
    if dialect == "postgresql":
        return sa.select(sa.func.pg_try_advisory_lock(sa.func.hashtext(name)))
    return sa.select(sa.func.get_lock(name, 0))


def run_env(metadata: sa.MetaData) -> None:
    """What each service's migrations/env.py does: run within the connection that `upgrade` opened."""
    from alembic import context  # noqa: PLC0415  # loaded already: Alembic is what calls this

    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        target_metadata=metadata,
        version_table=attributes["version_table"],
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
