"""`python -m meshctl run`, as `make run` starts it: what it prints and when, and the processes that it consists of."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from bench.local import empty_directory
from mesh.child_process import end_with_parent
from meshctl.app import App

SUPERVISOR = "supervisor"

_DELIVERED, _SERVING = "delivered", "Ctrl-C stops"
_PRINT_SECONDS_MAX = 120.0
_STOP_SECONDS_MAX = 60.0
_ENVIRONMENT = {"COLUMNS": "200", "BRANDMESH_RATE_PER_SECOND": "1000000", "BRANDMESH_RATE_BURST": "1000000"}


class CommandEndedError(Exception):
    """The command ended before it served. Its output stands in the message."""


@dataclass(slots=True)
class RunCommand:
    """The command, running."""

    process: asyncio.subprocess.Process
    state: Path

    async def until_delivered(self) -> None:
        """Wait until it shows its first SMS as delivered."""
        await self._until(_DELIVERED)

    async def until_serving(self) -> None:
        """Wait until it has said all that it says."""
        await self._until(_SERVING)

    def app(self, session: aiohttp.ClientSession, brand_id: int) -> App:
        """Answer the app of one of the brands that the command opens."""
        demo = json.loads((self.state / "demo.json").read_text())
        [api_key] = [one["api_key"] for one in demo["brands"] if one["brand_id"] == brand_id]
        return App(session, demo["gateway"], brand_id, api_key)

    def processes(self) -> dict[str, psutil.Process]:
        """Answer the processes by name: the supervisor, which is the command itself, and all that it started."""
        supervisor = psutil.Process(self.process.pid)
        return {SUPERVISOR: supervisor} | {_name(one): one for one in supervisor.children(recursive=True)}

    async def _until(self, text: str) -> None:
        assert self.process.stdout is not None  # noqa: S101  # it is a pipe
        printed = ""
        async with asyncio.timeout(_PRINT_SECONDS_MAX):
            while text not in printed:
                line = (await self.process.stdout.readline()).decode()
                if not line:
                    raise CommandEndedError(f"it ended before it said {text!r}:\n{printed}")
                printed += line


@asynccontextmanager
async def running_command(**environment: str) -> AsyncIterator[RunCommand]:
    """Start it in an empty directory, on the engines that it brings with it; stop it at the end."""
    with empty_directory() as state:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "meshctl", "run", "--state", str(state), "--no-fixed-ports"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **_ENVIRONMENT, **environment},
            preexec_fn=end_with_parent(),
        )
        try:
            yield RunCommand(process, state)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            # What it says at its end has to go somewhere for it to end.
            async with asyncio.timeout(_STOP_SECONDS_MAX):
                await process.communicate()


def _name(process: psutil.Process) -> str:
    """Answer the module that a Python runs, as in `python -m sms_rpc`, and otherwise the program's own name."""
    arguments = process.cmdline()
    return arguments[2] if arguments[1:2] == ["-m"] else process.name()
