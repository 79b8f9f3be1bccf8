"""Figures: what is told of the values of several runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.figures import Figure, Target, at_least, at_most, over_runs, percentile, ratios, show, write


def _figure(*values: float, target: Target | None = None) -> Figure:
    return Figure("row", "what", "pairs/s", values, target)


def test_the_value_to_quote_is_the_median_and_not_the_mean() -> None:
    assert _figure(1, 2, 300).median == 2


@pytest.mark.parametrize(
    ("target", "median", "verdict"),
    [
        (at_least(15_000), 15_000, ">= 15,000, met"),
        (at_least(15_000), 7_500, ">= 15,000, missed: 50% of it"),
        (at_most(1.2), 1.2, "<= 1.2, met"),
        (at_most(1.2), 1.8, "<= 1.2, missed: 150% of it"),
    ],
)
def test_a_target_stands_beside_its_figure(target: Target, median: float, verdict: str) -> None:
    assert _figure(0, median, 10**9, target=target).verdict == verdict


def test_without_a_target_there_is_no_verdict() -> None:
    assert _figure(1).verdict == ""


def test_a_ratio_is_taken_run_by_run() -> None:
    # The ratio of the medians would be 1.
    ratio = ratios("row", "ours to theirs", _figure(10, 30, 20), _figure(10, 10, 40))
    assert (ratio.values, ratio.median) == ((1, 3, 0.5), 1)


def test_a_ratio_needs_the_same_runs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios("row", "ours to theirs", _figure(1, 2), _figure(1))


def test_percentiles_are_values_that_were_measured() -> None:
    values = list(range(1, 101))
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 51, 100, 100]
    assert percentile([7], 99) == 7


def test_runs_become_figures_by_name() -> None:
    figures = over_runs("row", "ms", [{"p50": 1, "p99": 5}, {"p50": 2, "p99": 6}])
    assert [(one.what, one.values) for one in figures] == [("p50", (1, 2)), ("p99", (5, 6))]


def test_the_table_shows_target_and_spread(capsys: pytest.CaptureFixture[str]) -> None:
    show([_figure(900.5, 1234.5, 20_000, target=at_least(1000))])
    line = next(line for line in capsys.readouterr().out.splitlines() if "pairs/s" in line)
    assert [part.strip() for part in line.strip("│ ").split("│")] == [
        "row", "what", "1,234", "900.50", "20,000", "pairs/s", ">= 1,000, met",
    ]  # fmt: skip


def test_the_file_holds_every_value_and_whether_targets_are_met(tmp_path: Path) -> None:
    path = tmp_path / "below" / "figures.json"
    write([_figure(1, 3, 2, target=at_least(5)), _figure(4)], path, "mariadb")
    content = json.loads(path.read_text())
    assert content["database"] == "mariadb"
    common = {"row": "row", "what": "what", "unit": "pairs/s"}
    assert content["figures"] == [
        {**common, "median": 2, "values": [1, 3, 2], "target": ">= 5", "met": False},
        {**common, "median": 4, "values": [4]},
    ]
