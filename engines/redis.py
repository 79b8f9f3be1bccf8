"""Redis from Debian's package, synced before it answers as the embedded Valkey is."""

from __future__ import annotations

import asyncio
from pathlib import Path

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from engines import debian
from engines.engine import EngineMissingError
from engines.process import Program, ServerProcess, SingleServer
from mesh.loopback import LOOPBACK, free_port


class Redis:
    """Redis with an append-only file."""

    name = "redis"

    def fetch(self) -> None:
        """Install Debian's package."""
        debian.install("redis-server", _find)

    async def start(self, home: Path, port: int = 0) -> SingleServer:
        """Start it with its data in `home`; port 0 takes a free one."""
        binary = _find()
        if binary is None:
            raise EngineMissingError("redis-server is not on this machine: fetch it first")
        await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
        port = port or free_port()
        program = Program((str(binary), *_options(home, port)), home / "redis.log")
        process = await ServerProcess.start(program, lambda: _answers(port))
        return SingleServer(process, f"redis://{LOOPBACK}:{port}/0")


def _find() -> Path | None:
    return debian.program("redis-server")


def _options(home: Path, port: int) -> tuple[str, ...]:
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(home),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return tuple(part for name, value in options.items() for part in (f"--{name}", value))


async def _answers(port: int) -> bool:
    """Whether it takes commands: it refuses PING while it still reads its file."""
    client = Client(host=LOOPBACK, port=port)
    try:
        return bool(await client.ping())
    except RedisError:
        return False
    finally:
        await client.aclose()
