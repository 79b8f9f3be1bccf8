"""`python -m bench`: measure, print a table, write JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from bench import (
    batch_sms,
    brands,
    flash_sale,
    im_lateness,
    isolation,
    ledger,
    memory,
    orders,
    raw_limits,
    single_sms,
    start_time,
)
from bench.engine_choice import HOME, DatabaseEngine, DatabaseName, running_database
from bench.figures import Figure, show, write
from engines.engine import EngineMissingError
from engines.process import ServerFailedError

Row: TypeAlias = Callable[[DatabaseEngine, int], Awaitable[list[Figure]]]
"""Measures so many times on an engine."""

ROWS: dict[str, Row] = {
    "ledger": ledger.measure,
    "raw-limits": raw_limits.measure,
    "brands": brands.measure_brands,
    "full-table": brands.measure_full_table,
    "im-lateness": im_lateness.measure,
    "orders": orders.measure,
    **{f"single-sms-{number}": partial(single_sms.measure, connections=number) for number in single_sms.MESSAGES},
    "batch-sms": batch_sms.measure,
    "flash-sale": flash_sale.measure,
    "isolation": isolation.measure,
    "isolation-codes-apart": partial(isolation.measure, codes_apart=True),
    "memory": memory.measure,
    "memory-flat": memory.measure_flat,
    "start-time": start_time.measure,
}

ONLY_WHEN_NAMED = {"memory-flat"}
"""Rows that take many minutes."""


def main(
    rows: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(ROWS)}; none: all but {', '.join(ONLY_WHEN_NAMED)}")
    ] = None,
    database: Annotated[DatabaseName, typer.Option(help="Where services keep their rows")] = DatabaseName.SQLITE,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each; an odd number has a median of its own")] = 3,
    output: Annotated[
        Path | None, typer.Option(help="Where the figures go as JSON", show_default="var/bench/figures-DATABASE.json")
    ] = None,
) -> None:
    """Measure rows of the table in docs/performance.md on this machine."""
    unknown = sorted(set(rows or ()) - set(ROWS))
    if unknown:
        raise typer.BadParameter(f"unknown: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    try:
        figures = asyncio.run(_measure(rows or [row for row in ROWS if row not in ONLY_WHEN_NAMED], database, runs))
    except (EngineMissingError, ServerFailedError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    path = output or HOME / f"figures-{database}.json"
    show(figures)
    write(figures, path, database)
    typer.echo(f"written to {path}")


async def _measure(rows: Sequence[str], database: DatabaseName, runs: int) -> list[Figure]:
    async with running_database(database) as engine:
        return [figure for row in rows for figure in await ROWS[row](engine, runs)]


if __name__ == "__main__":
    # The plain trace of Python: a group of a hundred failures fills no screens.
    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    cli.command()(main)
    cli()
