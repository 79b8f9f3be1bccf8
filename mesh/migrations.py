"""Alembic, called from a process: brings a service's tables up to date before it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import DDLCompiler

from mesh.database import Database


@compiles(CreateTable, "mysql", "mariadb")
def _create_table(element: CreateTable, compiler: DDLCompiler, **options: Any) -> str:
    """Tell upper from lower case in ids, as the other databases do: MariaDB's default takes them for equal."""
    statement: str = compiler.visit_create_table(element, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy's gap
    return f"{statement.rstrip()} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


async def upgrade(database: Database, directory: Path) -> None:
    """Run the migrations in `directory` that the database has not seen. Safe to call from several processes."""
    config = Config()
    config.set_main_option("script_location", str(directory))
    config.attributes["version_table"] = f"{directory.parent.name}_version"

    def run(connection: sa.Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with database.write() as connection:
        await connection.run_sync(run)


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
