"""On what a benchmark keeps its rows: SQLite files, or a server that is started for it below var/bench."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engines.engine import Engine
from engines.mariadb import MariaDb
from engines.postgresql import PostgreSql
from engines.sql_server import service_databases

HOME = Path("var/bench")
"""On the disk that users' state is on."""


class DatabaseName(StrEnum):
    """What `--database` takes."""

    SQLITE = "sqlite"
    MARIADB = "mariadb"
    POSTGRESQL = "postgresql"


_ENGINES: dict[DatabaseName, Engine] = {DatabaseName.MARIADB: MariaDb(), DatabaseName.POSTGRESQL: PostgreSql()}


@dataclass(frozen=True, slots=True)
class DatabaseEngine:
    """The engine that was chosen, running."""

    name: DatabaseName
    server_url: str = ""
    """Any database of the server, with a user who may make others. Empty for SQLite."""
    pids: tuple[int, ...] = ()
    """The server's processes; they may have children."""

    @asynccontextmanager
    async def databases(self, directory: Path, services: Sequence[str]) -> AsyncIterator[str]:
        """Make an empty database a service, SQLite files in `directory`; answer the URL with {service} in it.

        Those on a server are removed at the end.
        """
        if not self.server_url:
            yield f"sqlite:///{directory}/{{service}}.db"
            return
        async with service_databases(self.server_url, f"bench_{secrets.token_hex(4)}", services) as url:
            yield url


@asynccontextmanager
async def running_database(name: DatabaseName) -> AsyncIterator[DatabaseEngine]:
    """Fetch and start the engine, and stop it at the end.

    Raises EngineMissingError where this machine cannot have it, and ServerFailedError.
    """
    if name not in _ENGINES:
        yield DatabaseEngine(name)
        return
    engine = _ENGINES[name]
    await asyncio.to_thread(engine.fetch)
    server = await engine.start(HOME / name)
    try:
        yield DatabaseEngine(name, server.url, server.pids)
    finally:
        await server.stop()
