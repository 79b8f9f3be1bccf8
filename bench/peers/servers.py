"""Servers that a gateway is made of: each on loopback, ended in order when its block ends."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from engines.process import Program, ServerProcess
from mesh.loopback import free_port, listens


@asynccontextmanager
async def running(program: Program, answers: Callable[[], Awaitable[bool]]) -> AsyncIterator[ServerProcess]:
    """Run a program from when it answers to the end of the block. Raises ServerFailedError."""
    process = await ServerProcess.start(program, answers)
    try:
        yield process
    finally:
        await process.stop()


@asynccontextmanager
async def running_smsc(home: Path) -> AsyncIterator[int]:
    """Run the SMSC of bench/peers/smsc.py; answer its port."""
    port = free_port()
    program = Program((sys.executable, "-m", "bench.peers.smsc", str(port)), home / "smsc.log")
    async with running(program, lambda: listens(port)):
        yield port
