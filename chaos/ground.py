"""The servers that a mesh stands on in a run: which they are, and how they are hurt and healed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from chaos.tcp_proxy import TcpProxy
from engines.mariadb import MariaDb
from engines.postgresql import PostgreSql
from engines.redis import Redis
from engines.rocketmq.engine import RocketMq
from engines.rocketmq.server import RocketMqServer
from engines.sql_server import at_port, service_databases
from mesh.embedded_valkey import EmbeddedValkey
from mesh.loopback import free_port
from meshctl.local import SERVICES_WITH_ROWS

_ENGINES_HOME = Path("var/chaos/engines")


class Engines(StrEnum):
    """What `--engines` takes."""

    SQLITE = "sqlite"  # with the embedded Valkey
    MARIADB = "mariadb"  # with Redis
    POSTGRESQL = "postgresql"  # with the embedded Valkey
    STACK = "stack"  # MariaDB, Redis and RocketMQ


class Killable(Protocol):
    """What every server can be asked for."""

    @property
    def url(self) -> str:
        """Where clients connect."""

    async def stop(self) -> None:
        """End it in order."""

    async def kill(self) -> None:
        """End it by SIGKILL."""


class Restartable:
    """A server that can be ended and started again, always at the same address and with the same data."""

    def __init__(self, start: Callable[[], Awaitable[Killable]], server: Killable) -> None:
        self._start = start
        self._server = server
        self._is_up = True

    @classmethod
    async def of(cls, start: Callable[[], Awaitable[Killable]]) -> Restartable:
        """Start it for the first time."""
        return cls(start, await start())

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self._server.url

    async def start(self) -> None:
        """Start it again. Nothing where it runs."""
        if not self._is_up:
            self._server = await self._start()
            self._is_up = True

    async def stop(self) -> None:
        """End it in order. Nothing where it does not run."""
        if self._is_up:
            self._is_up = False
            await self._server.stop()

    async def kill(self) -> None:
        """End it as a crash would. Nothing where it does not run."""
        if self._is_up:
            self._is_up = False
            await self._server.kill()


@dataclass(frozen=True, slots=True)
class Ground:
    """Servers, running. Those that the engines chosen do not have are None."""

    engines: Engines
    redis: Restartable
    database: Restartable | None = None
    proxy: TcpProxy | None = None
    """Between the mesh and the database's server."""
    rocketmq: RocketMqServer | None = None
    database_url: str = ""
    """Where services keep their rows, {service} standing for the name. Empty: SQLite files in the mesh's directory."""
    bus_url: str = ""
    """Where queues live. Empty: streams on `redis`."""


@asynccontextmanager
async def standing(engines: Engines, state: Path, rocketmq_masters: int = 1) -> AsyncIterator[Ground]:
    """Fetch and start the servers, with empty databases for the services; stop them at the end.

    Raises EngineMissingError where this machine cannot have one, and ServerFailedError.
    """
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(_redis(engines, state / "redis"))
        if engines is Engines.SQLITE:
            yield Ground(engines, redis)
            return
        database = await stack.enter_async_context(_database(engines))
        name = f"chaos_{secrets.token_hex(4)}"
        url = await stack.enter_async_context(service_databases(database.url, name, SERVICES_WITH_ROWS))
        proxy = await stack.enter_async_context(TcpProxy.before(url))
        ground = Ground(engines, redis, database, proxy, database_url=at_port(url, proxy.port))
        if engines is not Engines.STACK:
            yield ground
            return
        rocketmq = await stack.enter_async_context(_rocketmq(state / "rocketmq", rocketmq_masters))
        bus_url = f"{rocketmq.url}&name={name.replace('_', '')}"
        yield Ground(engines, redis, database, proxy, rocketmq, ground.database_url, bus_url)


@asynccontextmanager
async def _redis(engines: Engines, home: Path) -> AsyncIterator[Restartable]:
    port = free_port()
    if engines in (Engines.MARIADB, Engines.STACK):
        await asyncio.to_thread(Redis().fetch)
        redis = await Restartable.of(lambda: Redis().start(home, port))
    else:
        redis = await Restartable.of(lambda: EmbeddedValkey.start(home, port))
    try:
        yield redis
    finally:
        await redis.stop()


@asynccontextmanager
async def _database(engines: Engines) -> AsyncIterator[Restartable]:
    engine = PostgreSql() if engines is Engines.POSTGRESQL else MariaDb()
    await asyncio.to_thread(engine.fetch)
    port = free_port()
    database = await Restartable.of(lambda: engine.start(_ENGINES_HOME / engine.name, port))
    try:
        yield database
    finally:
        # A scenario that failed may have left it ended; its databases are removed after this mesh all the same.
        await database.stop()


@asynccontextmanager
async def _rocketmq(home: Path, masters: int) -> AsyncIterator[RocketMqServer]:
    engine = RocketMq(masters=masters)
    await asyncio.to_thread(engine.fetch)
    server = await engine.start(home)
    try:
        yield server
    finally:
        await server.stop()
