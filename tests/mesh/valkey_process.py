"""A process to be killed: starts a server in the directory it is told, says the server's id, and waits."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mesh.embedded_valkey import EmbeddedValkey


async def main(directory: str) -> None:
    server = await EmbeddedValkey.start(Path(directory))
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    await server.wait()


asyncio.run(main(sys.argv[1]))
