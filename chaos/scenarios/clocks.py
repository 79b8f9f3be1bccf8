"""Clocks an hour apart: each process of the mesh lives in a time of its own, ahead or behind."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from chaos.plan import Step, moments
from chaos.scenario import Scenario, Settings
from chaos.scenarios.kill_any import kill
from chaos.site import PROCESSES
from engines import debian
from engines.engine import EngineMissingError

HALF_HOUR_SECONDS = 1800

_EVERY_SECONDS = 6.0
_PUNCTUAL = ("sms", "order")
"""Have the true time. `sms` has that of the apps: ahead of it, it would rightly refuse what is scheduled in a moment;
behind it, it would rightly send that as much later, and a run does not last so long. `order` has that of the payment
channel, which rightly refuses what is signed at another time."""
_CHECK_SECONDS_MAX = 20


def library() -> Path | None:
    """Find libfaketime, which makes a process read another time than the system's."""
    return max(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"), default=None)


@functools.cache
def missing() -> str:
    """Install libfaketime where it is not there, and see that it does what it is for."""
    try:
        debian.install("libfaketime", library)
    except EngineMissingError as error:
        return str(error)
    code = "import time, sys; sys.exit(time.time() < float(sys.argv[1]) + 3000)"
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", code, str(time.time())],
        env={**os.environ, **_shifted(2 * HALF_HOUR_SECONDS)},
        timeout=_CHECK_SECONDS_MAX,
        check=False,
    )
    return "libfaketime does not shift this Python's clock" if done.returncode else ""


def settings(random: Random) -> Settings:
    """Put each process up to half an hour before or behind the system's time; two of them are an hour apart."""
    # The punctual ones go without the library: it makes each wait for a thread, and so SQLite, many times slower.
    names = [name for name in PROCESSES if name not in _PUNCTUAL]
    offsets = {name: random.randint(-HALF_HOUR_SECONDS, HALF_HOUR_SECONDS) for name in names}
    early, late = random.sample(names, 2)
    offsets |= {early: -HALF_HOUR_SECONDS, late: HALF_HOUR_SECONDS}
    return {name: _shifted(seconds) for name, seconds in offsets.items()}


def draw(random: Random, seconds: float) -> Iterator[Step]:
    """Kill some of them too: what was begun at one time is taken up at another."""
    for at_seconds in moments(random, seconds, _EVERY_SECONDS):
        yield Step(at_seconds, "kill", {"process": random.choice(PROCESSES), "down_seconds": 0.5})


def _shifted(seconds: int) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library() or ""),
        "FAKETIME": f"{seconds:+d}",
        # Only what a wrong clock shows is shifted: durations are measured by a clock that nobody sets.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


SCENARIO = Scenario(
    "clocks",
    "clocks up to an hour apart, with processes killed meanwhile",
    {"kill": kill},
    draw,
    settings=settings,
    missing=missing,
)
