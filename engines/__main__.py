"""`python -m engines`: run the suites on real servers, or start one for people."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from engines import testing
from engines.catalogue import ENGINES, EngineUnderTest
from engines.engine import EngineMissingError
from engines.process import ServerFailedError
from engines.testing import Outcome, fetch, running

cli = typer.Typer(help="Real servers for the suites and the benchmarks.", no_args_is_help=True, add_completion=False)

Home = Annotated[Path, typer.Option(help="Directory that holds what the servers keep")]
_HOME = Path("var/engines")


@cli.command("test")
def run_suites(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(ENGINES)}; none: all")] = None,
    home: Home = _HOME,
    skip_missing: Annotated[bool, typer.Option(help="Pass over engines that this machine cannot have")] = False,
    side_by_side: Annotated[int, typer.Option(help="How many to test at once", min=1)] = 3,
    pytest: Annotated[list[str] | None, typer.Option(help="An argument for pytest, such as --pytest=-x")] = None,
) -> None:
    """Fetch and start engines, and run the suites on each."""
    chosen = [_find(name) for name in names or ENGINES]
    outcomes = asyncio.run(testing.run_all(chosen, home, side_by_side, pytest or []))
    bad = {Outcome.FAILED} if skip_missing else {Outcome.FAILED, Outcome.MISSING}
    if bad.intersection(outcomes):
        raise typer.Exit(1)


@cli.command()
def start(name: str, home: Home = _HOME) -> None:
    """Start an engine, or the stack, print where it is, and run it until Ctrl-C. What it keeps is there next time."""
    tested = _find(name)
    try:
        fetch(tested)
        asyncio.run(_serve(tested, home / name))
    except (EngineMissingError, ServerFailedError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def _serve(tested: EngineUnderTest, home: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(tested, home) as urls:
        for variable, url in urls.items():
            typer.echo(f"{variable}={url}")
        await stop.wait()


def _find(name: str) -> EngineUnderTest:
    if name not in ENGINES:
        raise typer.BadParameter(f"there is no {name}, but {', '.join(ENGINES)}")
    return ENGINES[name]


if __name__ == "__main__":
    cli()
