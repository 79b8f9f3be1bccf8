from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_FIGURE = re.compile(r"(ready|delayed): (\d+) bytes a message")


def test_the_page_reckons_with_what_a_message_takes() -> None:
    answer = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "queue_memory.py"), "5000"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
    )
    measured = {name: int(size) for name, size in _FIGURE.findall(answer.stdout)}
    told = {name: int(size) for name, size in _FIGURE.findall((ROOT / "docs" / "scaling.md").read_text())}
    assert measured.keys() == {"ready", "delayed"}
    assert told == pytest.approx(measured, rel=0.25)
