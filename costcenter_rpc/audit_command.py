"""`python -m costcenter_rpc audit`: proves a ledger from its entries, on any database, while it works or not."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from costcenter_rpc.audit import RULES, VIOLATIONS_MAX, Violation, audit
from costcenter_rpc.tables import metadata
from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError

UNPROVEN = 2
"""Exit code where the ledger could not be read: nothing is known of it."""

_TOLD = ("account", "entry", "freeze", "payment", "allocation", "lot", "job")

DatabaseUrl = Annotated[
    str,
    typer.Option("--database-url", envvar="BRANDMESH_DATABASE_URL", help="SQLAlchemy URL of the ledger"),
]


class _NoLedgerError(Exception):
    """There is no ledger to look at. Its text says why."""


def prove(database_url: DatabaseUrl = "sqlite:///var/costcenter.db") -> None:
    """Check every rule of the ledger from its tables, and print each row that breaks one.

    Exit code 0: sound. 1: a rule is broken. 2: the ledger could not be read. It locks nothing and changes nothing.
    """
    try:
        counts, violations = asyncio.run(_look(database_url))
    except (_NoLedgerError, ArgumentError, SQLAlchemyError, DomainError, OSError, ValueError) as error:
        typer.echo(f"the ledger could not be read: {_reason(error)}", err=True)
        raise typer.Exit(UNPROVEN) from None
    looked = ", ".join(f"{name} {count}" for name, count in counts.items())
    typer.echo(f"looked at {looked}; {len(RULES)} rules")
    for violation in violations:
        typer.echo(f"broken: {violation}")
    if violations:
        typer.echo(f"{len(violations)} rows break a rule; of one rule at most {VIOLATIONS_MAX} are told")
        raise typer.Exit(1)
    typer.echo("sound: every rule holds")


async def _look(database_url: str) -> tuple[dict[str, int], list[Violation]]:
    database = Database(database_url)
    try:
        _refuse_no_file(database)
        return await _counts(database), await audit(database)
    finally:
        await database.close()


def _refuse_no_file(database: Database) -> None:
    """SQLite would make the file that it does not find, and an empty ledger is sound."""
    path = database.url.database or ""
    if database.is_sqlite and not Path(path).is_file():
        raise _NoLedgerError(f"there is no file {path}")


async def _counts(database: Database) -> dict[str, int]:
    counts = {}
    async with database.read() as connection:
        for name in _TOLD:
            counts[name] = await connection.scalar(sa.select(sa.func.count()).select_from(metadata.tables[name])) or 0
    return counts


def _reason(error: Exception) -> str:
    """Say it in one line: a driver's message may have many, and the statement after the first."""
    cause = error.__cause__ if isinstance(error, DomainError) and error.__cause__ else error
    return str(getattr(cause, "orig", cause)).partition("\n")[0]


def main(arguments: list[str]) -> None:
    """Run the command with what stands after its name."""
    # What is wrong with the database is said once, in the command's own line.
    telemetry.configure_logging("console", "error", "costcenter_rpc")
    cli = typer.Typer(add_completion=False)
    cli.command("audit")(prove)
    cli(arguments, prog_name=f"{Path(sys.executable).name} -m costcenter_rpc audit")
