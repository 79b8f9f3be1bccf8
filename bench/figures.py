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


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: what was measured, in which unit, one value a run."""

    row: str
    what: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The value to quote."""
        return statistics.median(self.values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Answer the value that `percent` of the values do not exceed. There has to be one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def over_runs(row: str, unit: str, runs: Sequence[dict[str, float]]) -> list[Figure]:
    """Turn runs, each a value by name, into figures."""
    return [Figure(row, what, unit, tuple(run[what] for run in runs)) for what in runs[0]]


def show(figures: Sequence[Figure]) -> None:
    """Print a table."""
    table = Table("row", "what", "median", "least", "greatest", "unit")
    for one in figures:
        shown = [f"{value:,.1f}" for value in (one.median, min(one.values), max(one.values))]
        table.add_row(one.row, one.what, *shown, one.unit)
    Console(width=140).print(table)


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write JSON: when, on what machine, and each figure with all its values."""
    content = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processors": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "figures": [
            {"row": one.row, "what": one.what, "unit": one.unit, "median": one.median, "values": one.values}
            for one in figures
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
