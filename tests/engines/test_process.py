"""Programs of servers that do not do as they should."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from engines.process import Program, ServerFailedError, ServerProcess, run_to_end

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
ENDED_BY_SIGINT = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " signal.signal(signal.SIGINT, signal.SIG_DFL); print('ready', flush=True); time.sleep(60)"
)
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {DEAF!r}])"


def python(tmp_path: Path, code: str, stop_signal: signal.Signals = signal.SIGTERM) -> Program:
    return Program((sys.executable, "-c", code), tmp_path / "log" / "server.log", stop_signal=stop_signal)


def left_behind() -> list[psutil.Process]:
    """Find programs of these tests that still run; other suites of this process may have servers of their own."""
    return [one for one in psutil.Process().children(recursive=True) if DEAF in one.cmdline()]


async def never() -> bool:
    return False


async def test_one_that_ends_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServerFailedError, match=r"(?s)python\S* ended with code 3; the end of .*server.log:\nno disk"):
        await ServerProcess.start(python(tmp_path, "print('no disk'); raise SystemExit(3)"), never)


async def test_one_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ServerFailedError, match=r"did not answer within 0\.3 s"):
        await ServerProcess.start(python(tmp_path, DEAF), never, ready_seconds_max=0.3)
    assert not left_behind()


async def test_one_that_does_not_stop_is_killed_and_told(tmp_path: Path) -> None:
    async def is_deaf() -> bool:
        return "deaf" in (tmp_path / "log" / "server.log").read_text()

    server = await ServerProcess.start(python(tmp_path, DEAF), is_deaf)
    with pytest.raises(ServerFailedError, match=r"did not stop within 0\.2 s"):
        await server.stop(seconds_max=0.2)
    assert not psutil.pid_exists(server.pid)


async def test_it_is_ended_by_its_own_signal(tmp_path: Path) -> None:
    async def is_ready() -> bool:
        return "ready" in (tmp_path / "log" / "server.log").read_text()

    server = await ServerProcess.start(python(tmp_path, ENDED_BY_SIGINT, stop_signal=signal.SIGINT), is_ready)
    await server.stop(seconds_max=10)
    await server.stop()
    await server.kill()


async def test_children_die_with_one_that_is_killed(tmp_path: Path) -> None:
    async def has_child() -> bool:
        return "deaf" in (tmp_path / "log" / "server.log").read_text()

    server = await ServerProcess.start(python(tmp_path, PARENT), has_child)
    (child,) = psutil.Process(server.pid).children()
    began = time.monotonic()
    await server.kill()
    assert time.monotonic() - began < 5
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    starting = asyncio.create_task(ServerProcess.start(python(tmp_path, DEAF), never))
    await asyncio.sleep(0.2)
    starting.cancel()
    await asyncio.wait({starting})
    assert not left_behind()


async def test_a_program_that_ends_by_itself(tmp_path: Path) -> None:
    await run_to_end(python(tmp_path, "print('made')"))
    with pytest.raises(ServerFailedError, match=r"(?s)ended with code 1; .*made\nno\Z"):
        await run_to_end(python(tmp_path, "raise SystemExit('no')"))
    with pytest.raises(ServerFailedError, match=r"did not end within 0\.2 s"):
        await run_to_end(python(tmp_path, DEAF), seconds_max=0.2)
    assert not left_behind()
