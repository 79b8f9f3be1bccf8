"""A real mesh of real processes for a test, and an app that uses it over REST."""

from __future__ import annotations

import asyncio
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from mesh import testing
from mesh.redis_connection import connect_redis
from meshctl import app, demo
from meshctl.app import Json
from meshctl.local import SERVICES_WITH_ROWS, LocalMesh, LocalOptions, run_local
from tests import databases, redis_server
from tests.redis_server import RedisServer

Reading = TypeVar("Reading")

_AWAY_SECONDS = 0.5

ROCKETMQ_URL = os.environ.get("BRANDMESH_TEST_ROCKETMQ_URL", "")
"""A RocketMQ whose queues are the bus: each mesh has a name of its own there. Empty: streams on Redis."""

TERMINAL = frozenset({"delivered", "failed", "cancelled", "blocked", "unconfirmed"})


def new_id() -> str:
    """Make up a request id."""
    return uuid.uuid4().hex


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
class OwnRedis:
    """A Redis of the kind that the tests run on, always at the same address."""

    directory: Path
    server: RedisServer

    async def kill(self) -> None:
        await self.server.kill()

    async def start(self) -> None:
        self.server = await redis_server.start_redis(self.directory, self.server.url)


@dataclass(slots=True)
class Chain:
    """A running mesh with the apps of its two demo brands."""

    mesh: LocalMesh
    session: aiohttp.ClientSession
    apps: list[App]
    redis: OwnRedis | None = None
    """Where it is this mesh's own, to be killed."""

    async def kill_and_restart(self, name: str) -> None:
        """Kill a process of the mesh, or "redis", and start it again half a second later."""
        if name == "redis":
            assert self.redis is not None, "run the chain with own_redis"
            await self.redis.kill()
            await asyncio.sleep(_AWAY_SECONDS)
            await self.redis.start()
            return
        await self.mesh.supervisor.kill(name)
        await asyncio.sleep(_AWAY_SECONDS)
        await self.mesh.restart(name)

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
async def running_chain(
    state: Path, environment: Mapping[str, dict[str, str]] | None = None, *, own_redis: bool = False
) -> AsyncIterator[Chain]:
    """Run the whole mesh on free ports with its state in `state`, on the engines that the environment names.

    It has its own databases, is alone on its Redis, and has its own topics. `own_redis` is for tests that kill it.
    """
    async with AsyncExitStack() as stack:
        options = LocalOptions(state, fixed_ports=False, environment=dict(environment or {}), bus_url=_bus_url())
        if databases.SERVER_URL:
            url = await stack.enter_async_context(databases.service_databases(*SERVICES_WITH_ROWS))
            options = replace(options, database_url=url)
        redis = await stack.enter_async_context(_own_redis(state / "redis")) if own_redis else None
        options = replace(options, redis_url=redis.server.url if redis else await _emptied_redis())
        mesh = await stack.enter_async_context(run_local(options))
        brands = await demo.prepare(mesh)
        timeout = aiohttp.ClientTimeout(total=120)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            apps = [App(session, mesh.gateway_url, brand.brand_id, brand.api_key) for brand in brands]
            yield Chain(mesh, session, apps, redis)


@asynccontextmanager
async def _own_redis(directory: Path) -> AsyncIterator[OwnRedis]:
    redis = OwnRedis(directory, await redis_server.start_redis(directory))
    try:
        yield redis
    finally:
        await redis.server.stop()


async def _emptied_redis() -> str:
    """Empty the server that the tests run on, and say where it is; nowhere where the mesh brings its own."""
    if redis_server.SERVER_URL:
        async with connect_redis(redis_server.SERVER_URL, "tests") as client:
            await client.flushall()
    return redis_server.SERVER_URL


def _bus_url() -> str:
    return f"{ROCKETMQ_URL}&name=chain{secrets.token_hex(4)}" if ROCKETMQ_URL else ""


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
