"""`python -m bench`: measure, print a table, write JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from bench import im_lateness
from bench.figures import Figure, show, write

ROWS: dict[str, Callable[[int], Awaitable[list[Figure]]]] = {
    "im-lateness": im_lateness.measure,
}


def main(
    rows: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(ROWS)}; none: all")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each; an odd number has a median of its own")] = 3,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON")] = Path("var/bench/figures.json"),
) -> None:
    """Measure rows of the table in docs/performance.md on this machine."""
    unknown = sorted(set(rows or ()) - set(ROWS))
    if unknown:
        raise typer.BadParameter(f"unknown: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    figures = [figure for row in rows or ROWS for figure in asyncio.run(_measured(row, runs))]
    show(figures)
    write(figures, output)
    typer.echo(f"written to {output}")


async def _measured(row: str, runs: int) -> list[Figure]:
    return await ROWS[row](runs)


if __name__ == "__main__":
    typer.run(main)
