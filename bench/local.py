"""The mesh under measurement: real processes, durable as `make run` is, on state of its own."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.engine_choice import HOME, DatabaseEngine
from meshctl import demo
from meshctl.app import App
from meshctl.local import SERVICES_WITH_ROWS, LocalMesh, LocalOptions, run_local

_NO_LIMITS = {"BRANDMESH_RATE_PER_SECOND": "1000000", "BRANDMESH_RATE_BURST": "1000000"}


@dataclass(frozen=True, slots=True)
class Measured:
    """A running mesh, the apps of its brands, and a session for whatever else is asked."""

    mesh: LocalMesh
    apps: list[App]
    session: aiohttp.ClientSession

    async def sandbox(self, method: str, path: str, **parameters: str) -> dict[str, Any]:
        """Call the sandbox's admin."""
        async with self.session.request(method, f"{self.mesh.sandbox_url}{path}", params=parameters) as response:
            response.raise_for_status()
            answer: dict[str, Any] = await response.json(content_type=None)
            return answer


@asynccontextmanager
async def measured_mesh(
    database: DatabaseEngine, environment: Mapping[str, dict[str, str]] | None = None
) -> AsyncIterator[Measured]:
    """Run a mesh with its rows on `database`, and the rest of its state in an empty directory below var/."""
    settings = {"gateway": _NO_LIMITS, **(environment or {})}
    async with AsyncExitStack() as stack:
        state = stack.enter_context(empty_directory())
        url = await stack.enter_async_context(database.databases(state, SERVICES_WITH_ROWS))
        options = LocalOptions(state, fixed_ports=False, environment=settings, database_url=url)
        mesh = await stack.enter_async_context(run_local(options))
        brands = await demo.prepare(mesh)
        timeout, connector = aiohttp.ClientTimeout(total=300), aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout, connector=connector))
        apps = [App(session, mesh.gateway_url, brand.brand_id, brand.api_key) for brand in brands]
        yield Measured(mesh, apps, session)


@contextmanager
def empty_directory() -> Iterator[Path]:
    """Make an empty directory on the disk that users' state is on, and remove it at the end."""
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME.resolve()) as directory:
        yield Path(directory)
