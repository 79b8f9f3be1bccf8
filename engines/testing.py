"""Engines that run, and the suites on them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engines.catalogue import EngineUnderTest
from engines.engine import EngineMissingError
from engines.process import ServerFailedError
from mesh.child_process import end_with_parent

RUN_SECONDS_MAX = 1800
"""How long one run of pytest may take: a test that hangs beyond its own time-out must not hold CI for ever."""


class Outcome(Enum):
    """What came of an engine."""

    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    """It is not on this machine and cannot be fetched: nothing is known of it."""


def fetch(tested: EngineUnderTest) -> None:
    """Fetch all of its engines. Raises EngineMissingError."""
    for engine in tested.engines.values():
        engine.fetch()


@asynccontextmanager
async def running(tested: EngineUnderTest, home: Path) -> AsyncIterator[dict[str, str]]:
    """Start its engines, each in its own directory below `home`, and stop them; yield their URLs by variable.

    Raises what `Engine.start` and `Server.stop` do.
    """
    async with AsyncExitStack() as stack:
        urls = {}
        for variable, engine in tested.engines.items():
            server = await engine.start(home / engine.name)
            stack.push_async_callback(server.stop)
            urls[variable] = server.url
        yield urls


async def run_all(
    chosen: Sequence[EngineUnderTest], home: Path, side_by_side: int, further: Sequence[str] = ()
) -> list[Outcome]:
    """Run the suites of each, `side_by_side` of them at once: they wait more than they compute.

    Each keeps all it has, its servers too, in a directory of its own below `home`. One fetches at a time.
    """
    slots, fetching = asyncio.Semaphore(side_by_side), asyncio.Lock()

    async def run(tested: EngineUnderTest) -> Outcome:
        async with slots:
            return await run_suites(tested, home / tested.name, further, fetching)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(tested)) for tested in chosen]
    return [task.result() for task in tasks]


async def run_suites(
    tested: EngineUnderTest, home: Path, further: Sequence[str] = (), fetching: asyncio.Lock | None = None
) -> Outcome:
    """Fetch and start engines, run their suites, stop them, and say in a line what came of it.

    `further` are arguments for each run of pytest, such as -x. What pytest writes is in `home`/pytest-1.log and
    so on, and is shown where a run fails.
    """
    name, began = tested.name, time.monotonic()
    try:
        async with fetching or asyncio.Lock():
            await asyncio.to_thread(fetch, tested)
        async with running(tested, home) as urls:
            runs = [
                await _run(urls, (*run, *further), home / f"pytest-{number}.log")
                for number, run in enumerate(tested.runs, start=1)
            ]
    except EngineMissingError as error:
        _say(f"{name}: not tested: {error}")
        return Outcome.MISSING
    except ServerFailedError as error:
        _say(f"{name}: {error}")
        return Outcome.FAILED
    failed = [run for run in runs if not run.passed]
    for run in failed:
        _say(run.output)
    counts = "; ".join(run.summary for run in runs)
    _say(f"{name}: {'failed' if failed else 'passed'} in {time.monotonic() - began:.0f} s: {counts}")
    return Outcome.FAILED if failed else Outcome.PASSED


@dataclass(frozen=True, slots=True)
class _Run:
    """What came of one run of pytest."""

    passed: bool
    output: str

    @property
    def summary(self) -> str:
        """Its last line, which counts."""
        return (self.output.strip().splitlines() or ["no output"])[-1]


async def _run(urls: Mapping[str, str], arguments: tuple[str, ...], log_path: Path) -> _Run:
    """Run pytest in a process of its own: the suites read the environment when they are imported."""
    with log_path.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "--quiet", *arguments),
            env={**os.environ, **urls},
            stdout=log_file,
            stderr=log_file,
            # The signal that lets pytest clean up.
            preexec_fn=end_with_parent(signal.SIGINT),
        )
    passed = await _ended_well(process)
    return _Run(passed, await asyncio.to_thread(log_path.read_text, errors="replace"))


async def _ended_well(process: asyncio.subprocess.Process) -> bool:
    try:
        async with asyncio.timeout(RUN_SECONDS_MAX):
            return await process.wait() == 0
    except TimeoutError:
        _say(f"pytest did not end within {RUN_SECONDS_MAX} s")
        return False
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await process.wait()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
