"""Processes that belong together: started together, watched, and stopped together."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.child_process import end_with_parent

_POLL_SECONDS = 0.02
_READY_SECONDS_MAX = 60.0
_LOG_TAIL_LINES = 15


class ProcessFailedError(Exception):
    """A process ended although nobody asked it to, or did not get ready in time. Says which, with its last lines."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process: a module of this project, its environment, and how to see that it is ready."""

    name: str
    module: str
    environment: Mapping[str, str]
    is_ready: Callable[[], Awaitable[bool]] | None = None
    arguments: Sequence[str] = ()


@dataclass(slots=True)
class _Running:
    spec: ProcessSpec
    process: asyncio.subprocess.Process
    log_path: Path


@dataclass(slots=True)
class Supervisor:
    """Runs processes, one log file each below `log_directory`."""

    log_directory: Path
    stop_seconds: float = 20.0
    _running: dict[str, _Running] = field(default_factory=dict)

    async def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start processes side by side and wait until all are ready. Raises ProcessFailedError.

        They are asked one after the other: what comes late in `specs` may need those before it to be ready.
        """
        for spec in specs:
            self._running[spec.name] = await self._spawn(spec)
        try:
            async with asyncio.timeout(_READY_SECONDS_MAX):
                for spec in specs:
                    await self._wait_until_ready(self._running[spec.name])
        except TimeoutError:
            names = ", ".join(spec.name for spec in specs)
            message = f"not all of {names} are ready after {_READY_SECONDS_MAX:g} s; see {self.log_directory}"
            raise ProcessFailedError(message) from None

    async def wait(self) -> None:
        """Wait until a process ends by itself, and raise ProcessFailedError."""
        waits = {asyncio.create_task(one.process.wait()): one for one in self._running.values()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        raise _failure(waits[done.pop()])

    async def stop(self, names: Sequence[str] | None = None) -> None:
        """Ask processes to drain, all at once, and kill those that do not end in time. Unnamed: all that still run."""
        stopping = [self._running.pop(name) for name in names or list(self._running) if name in self._running]
        for one in stopping:
            if one.process.returncode is None:
                one.process.terminate()
        waits = [asyncio.create_task(one.process.wait()) for one in stopping]
        if waits:
            await asyncio.wait(waits, timeout=self.stop_seconds)
        for one in stopping:
            if one.process.returncode is None:
                one.process.kill()
                await one.process.wait()

    async def kill(self, name: str) -> None:
        """End a process at once, as a crash would."""
        one = self._running.pop(name)
        one.process.kill()
        await one.process.wait()

    def pid(self, name: str) -> int:
        """Answer the process id of a running process."""
        return self._running[name].process.pid

    def ended(self) -> dict[str, int]:
        """Answer the exit codes of processes that ended although nobody asked them to."""
        codes = {name: one.process.returncode for name, one in self._running.items()}
        return {name: code for name, code in codes.items() if code is not None}

    async def _spawn(self, spec: ProcessSpec) -> _Running:
        self.log_directory.mkdir(parents=True, exist_ok=True)
        log_path = self.log_directory / f"{spec.name}.log"
        with log_path.open("ab") as log_file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                spec.module,
                *spec.arguments,
                env={**os.environ, **spec.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                # A terminal's Ctrl-C goes to the supervisor alone, which then stops everybody in order.
                start_new_session=True,
                preexec_fn=end_with_parent(),
            )
        return _Running(spec, process, log_path)

    async def _wait_until_ready(self, one: _Running) -> None:
        while one.process.returncode is None:
            if one.spec.is_ready is None or await one.spec.is_ready():
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise _failure(one)


def _failure(one: _Running) -> ProcessFailedError:
    lines = one.log_path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return ProcessFailedError(
        f"{one.spec.name} ended with code {one.process.returncode}; the end of {one.log_path}:\n" + "\n".join(lines)
    )
