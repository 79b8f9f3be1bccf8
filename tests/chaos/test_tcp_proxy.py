"""The proxy before a database's server: what passes, what is cut, and who hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chaos.scenarios.database import is_commit
from chaos.tcp_proxy import Cut, TcpProxy
from engines.sql_server import at_port
from mesh.database import Database
from mesh.errors import DomainError
from mesh.loopback import LOOPBACK
from mesh.testing import eventually
from tests.databases import SERVER_URL, server_database

SECONDS_MAX = 5


class Echo:
    """A server that says what it hears, and keeps it; it hangs up at `bye`."""

    def __init__(self) -> None:
        self.heard = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (piece := await reader.read(100)) and piece != b"bye":
            self.heard += piece
            writer.write(piece)
        writer.close()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Echo]:
    one = Echo()
    server = await asyncio.start_server(one.serve, LOOPBACK, 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()


@pytest_asyncio.fixture
async def proxy(echo: Echo) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.before(f"mysql://{LOOPBACK}:{echo.port}/any") as one:
        yield one


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    """Say something; answer what is heard, and nothing where the connection ends."""
    writer.write(text)
    async with asyncio.timeout(SECONDS_MAX):
        try:
            return await reader.read(100)
        except ConnectionError:
            return b""


@pytest.mark.parametrize(("cut", "heard"), [(Cut.BEFORE, b"begin"), (Cut.AFTER, b"begincommit")])
async def test_a_connection_is_cut_before_or_after_the_server_hears(
    proxy: TcpProxy, echo: Echo, cut: Cut, heard: bytes
) -> None:
    proxy.judge = lambda piece: cut if piece == b"commit" else None
    ends = await asyncio.open_connection(LOOPBACK, proxy.port)
    assert await say(*ends, b"begin") == b"begin"
    assert await say(*ends, b"commit") == b""
    await eventually(lambda: echo.heard == heard)
    assert proxy.cuts == 1
    ends[1].close()


async def test_a_client_hears_that_the_server_has_gone(proxy: TcpProxy) -> None:
    ends = await asyncio.open_connection(LOOPBACK, proxy.port)
    assert await say(*ends, b"bye") == b""
    ends[1].close()


async def test_all_connections_are_cut_at_once(proxy: TcpProxy) -> None:
    several = [await asyncio.open_connection(LOOPBACK, proxy.port) for _ in range(3)]
    for ends in several:
        assert await say(*ends, b"hello") == b"hello"
    proxy.cut_all()
    assert [await say(*ends, b"hello") for ends in several] == [b""] * 3
    for _, writer in several:
        writer.close()


@pytest.mark.skipif(not SERVER_URL, reason="is about servers")
async def test_the_commits_of_the_drivers_are_known_as_such() -> None:
    url = await server_database("chaos")
    async with TcpProxy.before(url) as proxy:
        database = Database(at_port(url, proxy.port))
        async with database.write() as connection:
            await connection.execute(sa.select(1))
        proxy.judge = lambda piece: Cut.BEFORE if is_commit(piece) else None
        with pytest.raises(DomainError, match="DATABASE_UNAVAILABLE"):
            async with database.write() as connection:
                await connection.execute(sa.select(1))
        assert proxy.cuts == 1
        await database.close()
