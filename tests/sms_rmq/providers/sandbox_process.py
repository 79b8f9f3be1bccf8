"""A sandbox in a process of its own, as a deployment runs it, and the customer's server that it pushes to."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

ROOT = Path(__file__).parents[3]
POOR_ACCOUNT = "POOR"
ACCOUNTS_MAX = 200
"""Accounts `N0`, `N1` and so on: one for each test, so that none pulls another's receipts."""

ACCOUNTS = [
    {"account": POOR_ACCOUNT, "password": "sandbox-password", "balance": 1},
    *[{"account": f"N{number}", "password": "sandbox-password"} for number in range(ACCOUNTS_MAX)],
]
DEADLINE_SECONDS = 10.0

Json = dict[str, object]


@contextmanager
def sandbox_process() -> Iterator[str]:
    """Run `python -m sandbox` on a free port; yields its base URL."""
    flags = {
        "port": "0",
        "chuanglan-accounts": json.dumps(ACCOUNTS),
        "chuanglan-receipt-delay-seconds": "0.02",
        "chuanglan-push-retry-seconds": "0.1",
    }
    command = [
        sys.executable,
        "-m",
        "sandbox",
        *[part for name, value in flags.items() for part in (f"--{name}", value)],
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        try:
            announced = process.stdout.readline()
            assert announced.startswith("sandbox listening on "), announced
            yield announced.split()[-1]
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)


@dataclass
class SandboxAdmin:
    """The operator's side of a sandbox."""

    url: str
    http: aiohttp.ClientSession

    async def fault(self, kind: str, **fields: object) -> None:
        await self._post("/admin/faults", {"kind": kind, **fields})

    async def fault_kinds(self) -> list[str]:
        """Answer what the refusal of an unknown kind lists."""
        async with self.http.post(f"{self.url}/admin/faults", json={"kind": "no such kind"}) as response:
            message = str((await response.json())["error"])
            return message.partition("must be one of ")[2].split(", ")

    async def reset(self) -> None:
        await self._post("/admin/reset", {})
        await self.push_to("")

    async def push_to(self, url: str) -> None:
        targets = {f"chuanglan_{kind}_url": url and f"{url}/{kind}" for kind in ("receipt", "uplink")}
        await self._post("/admin/targets", targets)

    async def uplink(self, **fields: object) -> None:
        await self._post("/admin/uplink", fields)

    async def messages(self, dispatch_id: int) -> list[Json]:
        """Answer what was accepted under this uid, the first one first."""
        async with self.http.get(
            f"{self.url}/admin/messages", params={"uid": str(dispatch_id), "limit": 1000}
        ) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return list(reversed(answer["messages"]))

    async def _post(self, path: str, body: Mapping[str, object]) -> None:
        async with self.http.post(self.url + path, json=body) as response:
            assert response.status < 300, await response.text()


@dataclass
class Customer:
    """Acknowledges every push and keeps its query."""

    url: str = ""
    receipts: list[dict[str, str]] = field(default_factory=list)
    uplinks: list[dict[str, str]] = field(default_factory=list)

    def receipts_of(self, dispatch_id: int) -> list[dict[str, str]]:
        return [query for query in self.receipts if query["uid"] == str(dispatch_id)]

    async def take_receipt(self, request: web.Request) -> web.Response:
        self.receipts.append(dict(request.query))
        return web.json_response({"clcode": "000000"})

    async def take_uplink(self, request: web.Request) -> web.Response:
        self.uplinks.append(dict(request.query))
        return web.json_response({"clcode": "000000"})


@asynccontextmanager
async def running_customer() -> AsyncIterator[Customer]:
    customer = Customer()
    app = web.Application()
    app.router.add_get("/receipt", customer.take_receipt)
    app.router.add_get("/uplink", customer.take_uplink)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    customer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield customer
    finally:
        await runner.cleanup()


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; fail with `what` when it does not within the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        await asyncio.sleep(0.01)
