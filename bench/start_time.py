"""How long `make run`, installed, takes on an empty directory until it shows its first SMS as delivered."""

from __future__ import annotations

import time

from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, at_most
from bench.run_command import running_command

TARGET_SECONDS = at_most(6)

_ROW = "start of the whole mesh"


async def measure(_: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure `runs` times, each on an empty directory, always on SQLite: the command knows nothing else."""
    seconds = [await _run() for _ in range(runs)]
    return [Figure(_ROW, "until the first SMS is delivered", "s", tuple(seconds), TARGET_SECONDS)]


async def _run() -> float:
    began_at = time.perf_counter()
    async with running_command() as command:
        await command.until_delivered()
        seconds = time.perf_counter() - began_at
        await command.until_serving()
    return seconds
