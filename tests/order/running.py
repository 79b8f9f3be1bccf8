"""order_rpc with some or all of its services, and order_rmq beside it: real, on a real database, in one process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mesh.bus.memory import MemoryBus
from mesh.bus.port import BusUnavailableError, Message
from mesh.channel import Peer
from mesh.database import Database
from mesh.loopback import LOOPBACK, free_port
from order_rmq import wiring as order_rmq_wiring
from order_rmq.settings import Settings as RmqSettings
from order_rpc import wiring
from order_rpc.settings import Settings
from tests.databases import empty_database
from tests.order.databases import PARTS


class SwitchedBus(MemoryBus):
    """A bus that can be away for publishers."""

    is_away = False

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        if self.is_away:
            raise BusUnavailableError("switched off")
        await super().publish(queue, messages, delay_seconds)


@dataclass
class Running:
    """A process of order_rpc that serves."""

    settings: Settings
    peer: Peer
    bus: SwitchedBus
    database: Database
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def next_id(self) -> str:
        """Make up a request id."""
        return f"request-{next(self.numbers)}"

    async def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Read a whole table."""
        async with self.database.read() as connection:
            rows = await connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            return [dict(row._mapping) for row in rows]

    async def execute(self, statement: sa.Executable) -> None:
        """Change what only a test changes."""
        async with self.database.write() as connection:
            await connection.execute(statement)

    @asynccontextmanager
    async def consuming(self, **changes: Any) -> AsyncIterator[asyncio.Task[None]]:
        """order_rmq, running; one that was cancelled is a crashed one."""
        settings = RmqSettings(
            **{
                "peer_order": self.settings.listen,
                "peer_costcenter": f"{LOOPBACK}:1",
                "sweep_seconds": 0.2,
                "drain_seconds": 2,
                **changes,
            }
        )
        stop = asyncio.Event()
        task = asyncio.create_task(order_rmq_wiring.consume(settings, self.bus, stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()


@asynccontextmanager
async def running(directory: Path, *services: str, **changes: Any) -> AsyncIterator[Running]:
    """Serve these services of order_rpc, all where none is named, on an empty database."""
    async with AsyncExitStack() as stack:
        bus = changes.pop("bus", None) or SwitchedBus()
        settings = Settings(
            **{
                "services": services,
                "listen": f"{LOOPBACK}:{free_port()}",
                "database_url": changes.get("database_url") or await empty_database(directory, "order", *PARTS),
                "migrate": False,
                "drain_seconds": 0.5,
                "payment_merchant_id": "190000001",
                "payment_secret": "a-secret-of-tests",
                "user_token_keys": "test:" + "k" * 43,
                **changes,
            }
        )
        server = await stack.enter_async_context(wiring.open_server(settings, bus))
        await server.start()
        stack.push_async_callback(server.drain)
        peer = Peer("order_rpc", settings.listen)
        stack.push_async_callback(peer.close)
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        yield Running(settings, peer, bus, database)
