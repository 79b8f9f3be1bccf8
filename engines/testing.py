"""Engines that run, and the suites on them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
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


async def run_suites(tested: EngineUnderTest, home: Path, further: Sequence[str] = ()) -> Outcome:
    """Fetch and start engines, run their suites, stop them, and say in a line what came of it.

    `further` are arguments for each run of pytest, such as -x.
    """
    name, began = tested.name, time.monotonic()
    try:
        await asyncio.to_thread(fetch, tested)
        async with running(tested, home) as urls:
            failed = [run for run in tested.runs if not await _run(urls, (*run, *further))]
    except EngineMissingError as error:
        _say(f"{name}: not tested: {error}")
        return Outcome.MISSING
    except ServerFailedError as error:
        _say(f"{name}: {error}")
        return Outcome.FAILED
    outcome = f"failed: {_paths(failed)}; of" if failed else "passed:"
    _say(f"{name}: {time.monotonic() - began:.0f} s, {outcome} {_paths(tested.runs)}")
    return Outcome.FAILED if failed else Outcome.PASSED


async def _run(urls: Mapping[str, str], arguments: tuple[str, ...]) -> bool:
    """Run pytest in a process of its own: the suites read the environment when they are imported."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "--quiet", *arguments),
        env={**os.environ, **urls},
        # The signal that lets pytest clean up.
        preexec_fn=end_with_parent(signal.SIGINT),
    )
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


def _paths(runs: Sequence[Sequence[str]]) -> str:
    return " ".join(one for run in runs for one in run if one.startswith("tests/"))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
