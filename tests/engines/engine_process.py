"""A process to be killed: starts an engine in a directory, says the ids of the server's processes, and waits."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from engines.catalogue import ENGINES


async def main(name: str, home: str) -> None:
    (engine,) = ENGINES[name].engines.values()
    server = await engine.start(Path(home))
    sys.stdout.write(" ".join(map(str, server.pids)) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
