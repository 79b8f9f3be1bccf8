"""Reading the log files of a run for what nobody should have to read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

_ALARMING = frozenset({"error", "critical"})
_CHARACTERS_MAX = 200

_OUTSIDE = "sandbox"
"""Its log is of another form, and tells what faults did to it."""


def unexpected_errors(directory: Path, expected: Collection[str]) -> list[str]:
    """Answer what is logged at level error, and lines that are no log lines at all, such as traces: each kind once.

    `expected` are events that a scenario brings about.
    """
    paths = (path for path in sorted(directory.glob("*.log")) if path.stem != _OUTSIDE)
    times = Counter(line for path in paths for line in _of_file(path, expected))
    return [f"{line} ({count} times)" for line, count in times.items()]


def _of_file(path: Path, expected: Collection[str]) -> Iterator[str]:
    for text in path.read_text(errors="replace").splitlines():
        event, level, cause = _read(text)
        if level in _ALARMING and event not in expected:
            yield f"{path.stem}: {event}: {cause}"


def _read(text: str) -> tuple[str, str, str]:
    """Answer a line's event, level, and the last line of its trace. What is no line of ours is an error by itself."""
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict):
        return text[:_CHARACTERS_MAX], "error" if text.strip() else "", "no log line"
    cause = str(line.get("exception", line.get("error", ""))).strip().rpartition("\n")[2]
    return str(line.get("event", "")), str(line.get("level", "")), cause[:_CHARACTERS_MAX]
