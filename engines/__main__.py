"""`python -m engines`: run the suites on real servers, or start one for people."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from engines.catalogue import ENGINES, EngineUnderTest
from engines.engine import EngineMissingError
from engines.process import ServerFailedError
from engines.testing import Outcome, fetch, run_suites, running

cli = typer.Typer(help="Real servers for the suites and the benchmarks.", no_args_is_help=True, add_completion=False)

Home = Annotated[Path, typer.Option(help="Directory that holds what the servers keep")]
_HOME = Path("var/engines")


@cli.command("test")
def run_all(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(ENGINES)}; none: all")] = None,
    home: Home = _HOME,
    skip_missing: Annotated[bool, typer.Option(help="Pass over engines that this machine cannot have")] = False,
    pytest: Annotated[list[str] | None, typer.Option(help="An argument for pytest, such as --pytest=-x")] = None,
) -> None:
    """Fetch and start engines one after the other, and run the suites on each."""
    chosen = [_find(name) for name in names or ENGINES]
    outcomes = asyncio.run(_test(chosen, home, pytest or []))
    bad = {Outcome.FAILED} if skip_missing else {Outcome.FAILED, Outcome.MISSING}
    if bad.intersection(outcomes):
        raise typer.Exit(1)


async def _test(chosen: list[EngineUnderTest], home: Path, further: list[str]) -> list[Outcome]:
    return [await run_suites(tested, home, further) for tested in chosen]


@cli.command()
def start(name: str, home: Home = _HOME) -> None:
    """Start an engine, or the stack, print where it is, and run it until Ctrl-C. What it keeps is there next time."""
    tested = _find(name)
    try:
        fetch(tested)
        asyncio.run(_serve(tested, home))
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
