"""Alembic, called from a process: brings a service's tables up to date before it serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import DDLCompiler

from mesh.database import Database

LOCK_SECONDS_MAX = 60


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
    config = Config()
    config.set_main_option("script_location", str(directory))
    config.attributes["version_table"] = f"{directory.parent.name}_version"

    def run(connection: sa.Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with database.write() as connection, _one_at_a_time(connection, config.attributes["version_table"]):
        await connection.run_sync(run)


@asynccontextmanager
async def _one_at_a_time(connection: AsyncConnection, name: str) -> AsyncIterator[None]:
    """Let one process change the tables while others that start with it wait. SQLite's write lock does so by itself."""
    match connection.dialect.name:
        case "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(name))))
            yield
        case "mysql" | "mariadb":
            if not (await connection.execute(sa.select(sa.func.get_lock(name, LOCK_SECONDS_MAX)))).scalar():
                raise TimeoutError(f"another process has been changing the tables for {LOCK_SECONDS_MAX} s")
            try:
                yield
            finally:
                await connection.execute(sa.select(sa.func.release_lock(name)))
        case _:
            yield


def run_env(metadata: sa.MetaData) -> None:
    """What each service's migrations/env.py does: run within the connection that `upgrade` opened."""
    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        target_metadata=metadata,
        version_table=attributes["version_table"],
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
