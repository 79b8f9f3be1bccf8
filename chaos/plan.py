"""What is done to a mesh, and when: drawn from a seed before anything runs, so that the same seed does the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | bool | Sequence[str]
Arguments: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: when it strikes, counted from the beginning of the load, what it is called, and its arguments."""

    at_seconds: float
    fault: str
    arguments: Arguments

    def __str__(self) -> str:
        told = " ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.at_seconds:6.2f} s  {self.fault} {told}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """Say it in JSON's types."""
        return asdict(self)


Draw: TypeAlias = Callable[[Random, float], Iterator[Step]]
"""Draws the steps of a run of so many seconds. It asks nothing but the generator that it is given."""


def chance(seed: int, what: str) -> Random:
    """Make the generator of one part of a run: parts do not take each other's numbers."""
    return Random(f"{seed}/{what}")  # noqa: S311  # replayable chance is the purpose, nothing is secret


def draw_steps(draw: Draw, seed: int, name: str, seconds: float) -> tuple[Step, ...]:
    """Draw a scenario's steps, in the order of their times."""
    return tuple(sorted(draw(chance(seed, name), seconds), key=lambda step: step.at_seconds))


def moments(random: Random, seconds: float, every_seconds: float) -> Iterator[float]:
    """Yield moments some `every_seconds` apart, the last early enough for its fault to be felt."""
    at_seconds = random.uniform(0.5, 1.5) * min(every_seconds, 2)
    while at_seconds < seconds - 1:
        yield round(at_seconds, 2)
        at_seconds += random.uniform(0.5, 1.5) * every_seconds
