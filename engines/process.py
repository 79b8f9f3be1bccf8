"""One process of a server: started, awaited until it answers, ended, and never left behind."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import psutil

from mesh.child_process import end_with_parent

_POLL_SECONDS = 0.05
_KILL_SECONDS_MAX = 10.0
# Enough for what Java says of an exception: its reason comes before its frames.
_LOG_TAIL_LINES = 60


class ServerFailedError(Exception):
    """A server's program ended, or did not answer in time. Says which, with the end of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. Its output is appended to `log_path`."""

    arguments: tuple[str, ...]
    log_path: Path
    user: str | None = None
    """Whom to run it as, for servers that refuse to be root; None: who we are."""
    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to ours."""
    stop_signal: signal.Signals = signal.SIGTERM
    """What ends it in order, also when its parent dies."""

    @property
    def name(self) -> str:
        """The program, for people."""
        return Path(self.arguments[0]).name


class ServerProcess:
    """A program that runs."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process) -> None:
        self._program = program
        self._process = process

    @property
    def pid(self) -> int:
        """The process that was started; it may have children."""
        return self._process.pid

    @classmethod
    async def start(
        cls, program: Program, answers: Callable[[], Awaitable[bool]], ready_seconds_max: float = 60.0
    ) -> ServerProcess:
        """Run it and wait until it answers. Raises ServerFailedError, and then leaves nothing running."""
        server = cls(program, await _spawn(program))
        try:
            await server._wait_until(answers, ready_seconds_max)
        except BaseException:
            await server.kill()
            raise
        return server

    async def stop(self, seconds_max: float = 60.0) -> None:
        """End it in order. Raises ServerFailedError where that takes longer than `seconds_max`; it is killed then."""
        if self._process.returncode is None:
            self._process.send_signal(self._program.stop_signal)
        try:
            async with asyncio.timeout(seconds_max):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
            raise _failure(self._program, f"did not stop within {seconds_max:g} s") from None

    async def kill(self) -> None:
        """End it and all its children at once, as a crash would."""
        if self._process.returncode is not None:
            return
        family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        await self._process.wait()
        # The next start must not find children of this one still at the files.
        async with asyncio.timeout(_KILL_SECONDS_MAX):
            while any(_runs(one) for one in family):  # noqa: ASYNC110  # the system sends no event of another's child
                await asyncio.sleep(_POLL_SECONDS)

    async def _wait_until(self, answers: Callable[[], Awaitable[bool]], seconds_max: float) -> None:
        try:
            async with asyncio.timeout(seconds_max):
                while not await answers():
                    if self._process.returncode is not None:
                        raise _failure(self._program, f"ended with code {self._process.returncode}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise _failure(self._program, f"did not answer within {seconds_max:g} s") from None


class SingleServer:
    """A server that is one process."""

    def __init__(self, process: ServerProcess, url: str) -> None:
        self._process = process
        self.url = url

    @property
    def pids(self) -> tuple[int, ...]:
        """The server's process; it may have children."""
        return (self._process.pid,)

    async def stop(self) -> None:
        """End it in order; those still connected lose their connections."""
        await self._process.stop()

    async def kill(self) -> None:
        """End it as a crash would."""
        await self._process.kill()


async def run_to_end(program: Program, seconds_max: float = 120.0) -> None:
    """Run a program that ends by itself, such as one that makes a data directory. Raises ServerFailedError."""
    server = ServerProcess(program, await _spawn(program))
    try:
        async with asyncio.timeout(seconds_max):
            code = await server._process.wait()  # noqa: SLF001  # the same file
    except TimeoutError:
        raise _failure(program, f"did not end within {seconds_max:g} s") from None
    finally:
        await server.kill()
    if code:
        raise _failure(program, f"ended with code {code}")


async def _spawn(program: Program) -> asyncio.subprocess.Process:
    program.log_path.parent.mkdir(parents=True, exist_ok=True)
    with program.log_path.open("ab") as log_file:
        return await asyncio.create_subprocess_exec(
            *program.arguments,
            **_identity(program.user),
            cwd=program.directory,
            env={**os.environ, **program.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            # A terminal's Ctrl-C is for us, who end the server after those that use it.
            start_new_session=True,
            preexec_fn=end_with_parent(program.stop_signal),
        )


def _runs(process: psutil.Process) -> bool:
    """Whether it does anything: one that nobody has reaped yet does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _identity(user: str | None) -> _Identity:
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _failure(program: Program, what: str) -> ServerFailedError:
    lines = program.log_path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return ServerFailedError(f"{program.name} {what}; the end of {program.log_path}:\n" + "\n".join(lines))
