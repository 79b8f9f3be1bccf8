"""The `audit` command of a service: proves what it keeps from its tables, on any database, while it works or not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError

UNPROVEN = 2
"""Exit code where nothing could be read: nothing is known of it."""

_DatabaseUrl = Annotated[
    str, typer.Option("--database-url", envvar="BRANDMESH_DATABASE_URL", help="SQLAlchemy URL of its database")
]


@dataclass(frozen=True, slots=True)
class Findings:
    """What an audit looked at, rows a table, and what it found. `bound` says how many violations are told at most."""

    counts: Mapping[str, int]
    rules_count: int
    violations: Sequence[object]
    bound: str


@dataclass(frozen=True, slots=True)
class Audited:
    """What is proven: by which program, what it is called, where it is by default, and how it is looked at."""

    program: str
    name: str
    database_url: str
    look: Callable[[Database], Awaitable[Findings]]


class _NothingThereError(Exception):
    """There is nothing to look at. Its text says why."""


def run(audited: Audited, arguments: list[str]) -> None:
    """Run the command with what stands after its name.

    Exit code 0: sound. 1: a rule is broken. 2: it could not be read. It locks nothing and changes nothing.
    """
    # What is wrong with the database is said once, in the command's own line.
    telemetry.configure_logging("console", "error", audited.program)

    def prove(database_url: _DatabaseUrl = audited.database_url) -> None:
        _prove(audited, database_url)

    cli = typer.Typer(add_completion=False)
    help_text = f"Check every rule of {audited.name} from its tables, and print each row that breaks one."
    cli.command("audit", help=help_text)(prove)
    cli(arguments, prog_name=f"{Path(sys.executable).name} -m {audited.program} audit")


async def count_rows(database: Database, tables: Sequence[sa.Table]) -> dict[str, int]:
    """Count the rows of tables, by their names."""
    async with database.read() as connection:
        return {
            table.name: await connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables
        }


def _prove(audited: Audited, database_url: str) -> None:
    try:
        findings = asyncio.run(_look(audited, database_url))
    except (_NothingThereError, ArgumentError, SQLAlchemyError, DomainError, OSError, ValueError) as error:
        typer.echo(f"{audited.name} could not be read: {_reason(error)}", err=True)
        raise typer.Exit(UNPROVEN) from None
    looked = ", ".join(f"{name} {count}" for name, count in findings.counts.items())
    typer.echo(f"looked at {looked}; {findings.rules_count} rules")
    for violation in findings.violations:
        typer.echo(f"broken: {violation}")
    if findings.violations:
        typer.echo(f"{len(findings.violations)} rows break a rule; {findings.bound}")
        raise typer.Exit(1)
    typer.echo("sound: every rule holds")


async def _look(audited: Audited, database_url: str) -> Findings:
    database = Database(database_url)
    try:
        _refuse_no_file(database)
        return await audited.look(database)
    finally:
        await database.close()


def _refuse_no_file(database: Database) -> None:
    """SQLite would make the file that it does not find, and what is empty is sound."""
    path = database.url.database or ""
    if database.is_sqlite and not Path(path).is_file():
        raise _NothingThereError(f"there is no file {path}")


def _reason(error: Exception) -> str:
    """Say it in one line: a driver's message may have many, and the statement after the first."""
    cause = error.__cause__ if isinstance(error, DomainError) and error.__cause__ else error
    return str(getattr(cause, "orig", cause)).partition("\n")[0]
