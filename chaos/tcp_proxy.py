"""A port before a server's: what passes can be watched, and connections can be cut in the middle of a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy.engine import make_url

from mesh.loopback import LOOPBACK

_CHUNK_BYTES = 1 << 16


class Cut(StrEnum):
    """When a connection is cut for what a client says. Either way the client never hears what came of it."""

    BEFORE = "before"  # the server does not hear it
    AFTER = "after"  # it was passed on


@dataclass(slots=True)
class TcpProxy:
    """Passes connections on to one port of loopback."""

    upstream_port: int
    judge: Callable[[bytes], Cut | None] | None = None
    """Asked of each piece that a client sends whether its connection is cut. None: nothing is cut."""
    cuts: int = 0
    """Connections that were cut."""
    _server: asyncio.Server | None = None
    _open: dict[asyncio.StreamWriter, asyncio.StreamWriter] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[TcpProxy]:
        """Stand before the server that a database's URL names, on a free port."""
        proxy = cls(make_url(url).port or 0)
        proxy._server = await asyncio.start_server(proxy._pass_on, LOOPBACK, 0)
        try:
            yield proxy
        finally:
            proxy._server.close()
            proxy.cut_all()
            await proxy._server.wait_closed()

    @property
    def port(self) -> int:
        """Where clients connect."""
        if self._server is None:
            raise RuntimeError("the proxy does not listen")
        return int(self._server.sockets[0].getsockname()[1])

    def cut_all(self) -> None:
        """Cut every connection at once, both sides, without a farewell."""
        for client in list(self._open):
            self._cut(client)

    def _cut(self, client: asyncio.StreamWriter) -> None:
        server = self._open.pop(client, None)
        if server is None:
            return
        self.cuts += 1
        client.transport.abort()
        server.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            upstream, server = await asyncio.open_connection(LOOPBACK, self.upstream_port)
        except OSError:
            client.transport.abort()
            return
        self._open[client] = server
        try:
            async with asyncio.TaskGroup() as group:
                ways = [
                    group.create_task(self._pump(reader, server, client)),
                    group.create_task(_copy(upstream, client)),
                ]
                # As without a proxy: where one side has gone, however it went, the other hears of it.
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            self._open.pop(client, None)
            client.close()
            server.close()

    async def _pump(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        """Pass on what a client says, and cut it off where that is fatal."""
        with suppress(ConnectionError):
            while piece := await reader.read(_CHUNK_BYTES):
                cut = self.judge(piece) if self.judge is not None else None
                if cut is not Cut.BEFORE:
                    server.write(piece)
                    await server.drain()
                if cut is not None:
                    self._cut(client)
                    return


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(_CHUNK_BYTES):
            writer.write(piece)
            await writer.drain()
