"""A real mesh of real processes for a test, and an app that uses it over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from mesh import testing
from meshctl import app, demo
from meshctl.app import Json
from meshctl.local import LocalMesh, LocalOptions, run_local
from tests.databases import SERVER_URL, service_databases

Reading = TypeVar("Reading")

SERVICES = ("costcenter", "sms", "order", "messagecenter", "txim", "gateway")
"""Those that keep rows."""

TERMINAL = frozenset({"delivered", "failed", "cancelled", "blocked", "unconfirmed"})


class App(app.App):
    """A brand's app: what it sends and sees through the gateway."""

    async def send(self, request_id: str, *phones: str, **further: Any) -> Json:
        """Send a verification code, or what `further` says."""
        body = {
            "requestId": request_id,
            "type": "verification",
            "phones": phones,
            "content": f"Your code is {request_id}",
            "signature": "brandmesh",
            **further,
        }
        return await self.ok("POST", "/sms", body)

    async def get(self, message_id: str) -> Json:
        return await self.ok("GET", f"/sms/{message_id}")

    async def account(self) -> Json:
        return await self.ok("GET", "/smsAccount")

    async def list_all(self, **filters: str) -> list[Json]:
        """Read all pages of a list."""
        found: list[Json] = []
        token = ""
        while True:
            page = await self.ok("GET", "/sms", None, pageSize="1000", pageToken=token, **filters)
            found += page["messages"]
            token = page["nextPageToken"]
            if not token:
                return found

    async def until(self, message_id: str, *statuses: str, timeout_seconds: float = 20) -> Json:
        """Wait until a message has one of the statuses."""
        return await eventually(lambda: self.get(message_id), _has_status(statuses), timeout_seconds)


@dataclass(slots=True)
class Chain:
    """A running mesh with the apps of its two demo brands."""

    mesh: LocalMesh
    session: aiohttp.ClientSession
    apps: list[App]

    async def sandbox(self, method: str, path: str, body: Json | None = None, **parameters: str) -> Json:
        """Call the sandbox's admin."""
        url = f"{self.mesh.sandbox_url}{path}"
        async with self.session.request(method, url, json=body, params=parameters) as response:
            answer: Json = await response.json(content_type=None)
            assert response.status < 300, answer
            return answer

    async def fault(self, kind: str, **fields: Any) -> None:
        """Switch a fault of the sandbox on."""
        await self.sandbox("POST", "/admin/faults", {"kind": kind, **fields})

    async def heal(self) -> None:
        """Switch all faults off."""
        await self.sandbox("POST", "/admin/reset")

    async def stats(self) -> Json:
        """Read what the provider saw."""
        return dict((await self.sandbox("GET", "/admin/stats"))["chuanglan"])

    async def txim_stats(self) -> Json:
        """Read what Tencent saw."""
        return dict((await self.sandbox("GET", "/admin/stats"))["txim"])


@asynccontextmanager
async def running_chain(state: Path, environment: Mapping[str, dict[str, str]] | None = None) -> AsyncIterator[Chain]:
    """Run the whole mesh on free ports with its state in `state`, and its rows on the server that tests run on."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(service_databases(*SERVICES)) if SERVER_URL else ""
        options = LocalOptions(state, fixed_ports=False, environment=dict(environment or {}), database_url=url)
        mesh = await stack.enter_async_context(run_local(options))
        brands = await demo.prepare(mesh)
        timeout = aiohttp.ClientTimeout(total=120)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            apps = [App(session, mesh.gateway_url, brand.brand_id, brand.api_key) for brand in brands]
            yield Chain(mesh, session, apps)


async def eventually(
    read: Callable[[], Awaitable[Reading]], is_done: Callable[[Reading], bool], timeout_seconds: float
) -> Reading:
    """Read again and again until it is as wanted; fail with the last reading."""

    async def check() -> list[Reading]:
        reading = await read()
        assert is_done(reading), reading
        return [reading]

    return (await testing.eventually(check, timeout_seconds, every_seconds=0.05))[0]


def _has_status(statuses: tuple[str, ...]) -> Callable[[Json], bool]:
    return lambda message: message["sms"]["status"] in statuses


def phone(number: int) -> str:
    """Make up a mainland mobile number."""
    return f"138{number:08d}"
