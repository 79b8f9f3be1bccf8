"""What a scenario is: a name, the faults that it knows, how it draws them, and what it may bring about."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from chaos.ground import Engines
from chaos.plan import Draw, Step
from chaos.site import Site

Fault: TypeAlias = Callable[..., Awaitable[None]]
"""`await fault(site, **arguments)`: does the harm, lets it last, and puts it right again before it returns."""

Settings: TypeAlias = Mapping[str, Mapping[str, str]]
"""Environment variables by process name."""


def _no_settings(_: Random) -> Settings:
    return {}


def _always_there() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Faults of one kind."""

    name: str
    summary: str
    """What is done, in one line for people."""
    faults: Mapping[str, Fault]
    """By the name that steps call them."""
    draw: Draw
    """Draws the steps. Each names one of `faults` and has its arguments."""
    engines: frozenset[Engines] = frozenset(Engines)
    """What it can be played on."""
    settings: Callable[[Random], Settings] = _no_settings
    """What processes are told besides, drawn from the same seed."""
    missing: Callable[[], str] = _always_there
    """Says in one line why this machine cannot play it; empty where it can."""
    rocketmq_masters: int = 1
    """How many brokers RocketMQ has, where it is played on one."""
    expected_errors: frozenset[str] = frozenset()
    """Log events of level error that it brings about; the reason stands beside each."""

    async def strike(self, site: Site, fault: str, arguments: Mapping[str, Any]) -> None:
        """Do what a step says."""
        await self.faults[fault](site, **arguments)


def together(name: str, summary: str, *scenarios: Scenario) -> Scenario:
    """Make one scenario of several whose faults strike at once. Their faults must have names of their own."""

    def draw(random: Random, seconds: float) -> Iterator[Step]:
        for scenario in scenarios:
            yield from scenario.draw(random, seconds)

    return Scenario(
        name,
        summary,
        ChainMap(*(dict(scenario.faults) for scenario in scenarios)),
        draw,
        engines=frozenset.intersection(*(scenario.engines for scenario in scenarios)),
        expected_errors=frozenset.union(*(scenario.expected_errors for scenario in scenarios)),
    )
