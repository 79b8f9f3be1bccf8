"""`python -m chaos`: play scenarios on a real mesh, and audit what is left of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from chaos.ground import Engines
from chaos.run import Run, play
from chaos.scenario import Scenario
from chaos.scenarios import SCENARIOS
from chaos.timeline import Timeline
from engines.engine import EngineMissingError
from engines.process import ServerFailedError
from meshctl.supervisor import ProcessFailedError

_HOME = Path("var/chaos")


def main(
    seed: Annotated[int, typer.Option(help="What all chance comes from: the same seed is the same plan")] = 1,
    scenario: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(SCENARIOS)}; may be repeated; none: all")
    ] = None,
    seconds: Annotated[float, typer.Option(min=5, help="How long load and faults last, in each scenario")] = 25,
    engines: Annotated[Engines | None, typer.Option(help="None: what the seed draws for each scenario")] = None,
    home: Annotated[Path, typer.Option(help="Where plans and timelines go as JSON, and state while it runs")] = _HOME,
) -> None:
    """Play scenarios one after the other. Exit code 1 when an invariant does not hold after one of them."""
    home.mkdir(parents=True, exist_ok=True)
    chosen = [_find(name) for name in scenario or SCENARIOS]
    clean = [_play(Run(one, _engines(one, seed, engines), seed, seconds), home) for one in chosen]
    typer.echo(f"{sum(clean)} of {len(clean)} scenarios are clean; see {home}")
    raise typer.Exit(0 if all(clean) else 1)


def _play(run: Run, home: Path) -> bool:
    """Play one and say what came of it; answer whether nothing is wrong."""
    title = f"{run.scenario.name} on {run.engines}, seed {run.seed}"
    if reason := _why_not(run):
        typer.echo(f"{title}: not played: {reason}")
        return True
    typer.echo(f"{title}: {run.scenario.summary}, {run.seconds:g} s; the plan:")
    for step in run.steps:
        typer.echo(f"  {step}")
    try:
        result = asyncio.run(play(run, home.resolve(), Timeline()))
    except EngineMissingError as error:
        typer.echo(f"{title}: not played: {error}")
        return True
    except (ServerFailedError, ProcessFailedError) as error:
        typer.echo(f"{title}: {error}")
        return False
    typer.echo(f"{title}: {result.figures}")
    for breach in result.breaches:
        typer.echo(f"  broken: {breach}")
    typer.echo(f"{title}: {'every rule is kept' if not result.breaches else 'rules are broken'}")
    return not result.breaches


def _why_not(run: Run) -> str:
    if run.engines not in run.scenario.engines:
        return f"it is for {', '.join(sorted(run.scenario.engines))}"
    return run.scenario.missing()


def _engines(scenario: Scenario, seed: int, chosen: Engines | None) -> Engines:
    """Take what was asked for; otherwise go through the scenario's engines with the seeds."""
    if chosen is not None:
        return chosen
    possible = sorted(scenario.engines)
    return possible[(seed - 1 + list(SCENARIOS).index(scenario.name)) % len(possible)]


def _find(name: str) -> Scenario:
    if name not in SCENARIOS:
        raise typer.BadParameter(f"there is no {name}, but {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


if __name__ == "__main__":
    typer.run(main)
