"""Figures of a benchmark: one value a run, told as the median with the least and the greatest."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

_WHOLE_FROM = 1000
"""Values from here on are shown without decimals."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach: at least, or at most, so much."""

    value: float
    is_ceiling: bool = False

    @property
    def text(self) -> str:
        """The target for people."""
        return f"{'<=' if self.is_ceiling else '>='} {self.value:,g}"

    def is_met_by(self, value: float) -> bool:
        """Whether a value reaches it."""
        return value <= self.value if self.is_ceiling else value >= self.value


def at_least(value: float) -> Target:
    """More is better."""
    return Target(value)


def at_most(value: float) -> Target:
    """Less is better."""
    return Target(value, is_ceiling=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: what was measured, in which unit, one value a run."""

    row: str
    what: str
    unit: str
    values: tuple[float, ...]
    target: Target | None = None

    @property
    def median(self) -> float:
        """The value to quote."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """The target and whether the median meets it, or what part of the target it is; empty without a target."""
        if self.target is None:
            return ""
        met = "met" if self.target.is_met_by(self.median) else f"missed: {self.median / self.target.value:.0%} of it"
        return f"{self.target.text}, {met}"


def ratios(row: str, what: str, above: Figure, below: Figure, target: Target | None = None) -> Figure:
    """Divide one figure by another, run by run: both were measured in the same runs."""
    values = tuple(one / other for one, other in zip(above.values, below.values, strict=True))
    return Figure(row, what, "ratio", values, target)


def percentile(values: Sequence[float], percent: float) -> float:
    """Answer the value that `percent` of the values do not exceed. There has to be one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def over_runs(row: str, unit: str, runs: Sequence[dict[str, float]]) -> list[Figure]:
    """Turn runs, each a value by name, into figures."""
    return [Figure(row, what, unit, tuple(run[what] for run in runs)) for what in runs[0]]


def show(figures: Sequence[Figure]) -> None:
    """Print a table."""
    table = Table("row", "what", "median", "least", "greatest", "unit", "target")
    for one in figures:
        shown = [_shown(value) for value in (one.median, min(one.values), max(one.values))]
        table.add_row(one.row, one.what, *shown, one.unit, one.verdict)
    Console(width=160).print(table)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:,.2f}"


def write(figures: Sequence[Figure], path: Path, database: str) -> None:
    """Write JSON: when, on what machine and database, and each figure with all its values."""
    content = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processors": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "database": database,
        "figures": [_content(one) for one in figures],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _content(figure: Figure) -> dict[str, object]:
    content: dict[str, object] = {
        "row": figure.row,
        "what": figure.what,
        "unit": figure.unit,
        "median": figure.median,
        "values": figure.values,
    }
    if figure.target is not None:
        content["target"] = figure.target.text
        content["met"] = figure.target.is_met_by(figure.median)
    return content
