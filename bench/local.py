"""The mesh under measurement: real processes on the embedded engines, durable as `make run` is, on state of its own."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from meshctl import demo
from meshctl.app import App
from meshctl.local import LocalMesh, LocalOptions, run_local

_HOME = Path("var/bench")
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
async def measured_mesh(environment: Mapping[str, dict[str, str]] | None = None) -> AsyncIterator[Measured]:
    """Run a mesh in an empty directory below var/, so that it writes to the disk that users' state is on."""
    settings = {"gateway": _NO_LIMITS, **(environment or {})}
    with tempfile.TemporaryDirectory(dir=_home()) as state:
        async with run_local(LocalOptions(Path(state), fixed_ports=False, environment=settings)) as mesh:
            brands = await demo.prepare(mesh)
            timeout, connector = aiohttp.ClientTimeout(total=300), aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
                apps = [App(session, mesh.gateway_url, brand.brand_id, brand.api_key) for brand in brands]
                yield Measured(mesh, apps, session)


def _home() -> Path:
    _HOME.mkdir(parents=True, exist_ok=True)
    return _HOME.resolve()
