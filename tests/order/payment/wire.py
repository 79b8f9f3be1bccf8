"""The wire to the payment channel: holds the calls that open payments, before and after the channel has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from mesh.testing import eventually

OPEN_PATH = "/pay/v1/payments"


@dataclass
class Gate:
    """Where a call waits. `held` is what it carries: the request on its way there, the answer on its way back."""

    held: dict[str, object] = field(default_factory=dict)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def let_go(self) -> None:
        self.opened.set()

    async def hold(self, body: bytes) -> None:
        self.held = json.loads(body)
        await self.opened.wait()


@dataclass
class Wire:
    """Passes calls on as they are. The answers of the first `losses` opening calls never arrive."""

    http: aiohttp.ClientSession
    url: str = ""
    channel_url: str = ""
    losses: int = 0
    before: Gate = field(default_factory=Gate)
    after: Gate = field(default_factory=Gate)

    async def holding(self, gate: Gate) -> dict[str, object]:
        """Wait until a call waits at a gate, with the other one open; answer what it carries."""
        (self.before if gate is self.after else self.after).let_go()
        return await eventually(lambda: gate.held)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.path == OPEN_PATH:
            await self.before.hold(body)
        async with self.http.post(self.channel_url + request.path, data=body) as response:
            status, answer = response.status, await response.read()
        if request.path == OPEN_PATH:
            await self.after.hold(answer)
            if self.losses:
                self.losses -= 1
                assert request.transport is not None
                request.transport.close()
        return web.Response(status=status, body=answer, content_type="application/json")


@asynccontextmanager
async def running_wire() -> AsyncIterator[Wire]:
    app = web.Application()
    async with aiohttp.ClientSession() as http:
        wire = Wire(http)
        app.router.add_post("/{path:.*}", wire.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        wire.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield wire
        finally:
            await runner.cleanup()
