"""A server on a free port that answers what it is told, also what no HTTP server would."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ScriptedServer:
    """Every request is answered by `answer`; `requests` and `connections` are what came."""

    answer: Answer
    url: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    @property
    def bodies(self) -> list[dict[str, str]]:
        return [body for _, body in self.requests]

    async def asked(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
                )
                self.requests.append((head.split(" ")[1], json.loads(await reader.readexactly(length))))
                async with self._arrived:
                    self._arrived.notify_all()
                await self.answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return


def raw(data: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return answer


def http(body: bytes | str | dict[str, object], status: int = 200, headers: str = "") -> Answer:
    content = json.dumps(body) if isinstance(body, dict) else body
    encoded = content.encode() if isinstance(content, str) else content
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(encoded)}\r\n{headers}\r\n"
    return raw(head.encode() + encoded)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def never(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"code":"0","msgId":"1"')
    await writer.drain()
    writer.close()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve connections on a free port; yields `host:port`. Whatever is still served at the end is broken off."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve_and_close(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 21)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running(answer: Answer) -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer(answer)
    async with listening(scripted.serve) as address:
        scripted.url = f"http://{address}"
        yield scripted
