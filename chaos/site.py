"""The mesh under fire, and the hands that faults need: what a scenario's faults are given."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from chaos.customer import Customer
from chaos.ground import Ground
from chaos.load import furnish
from chaos.shop import Article, open_shop
from chaos.timeline import Timeline
from chaos.told import Told
from chaos.world import Account
from meshctl import demo
from meshctl.app import App, Json
from meshctl.local import LocalMesh, LocalOptions, run_local

PROCESSES = (
    "costcenter", "sms", "order", "messagecenter", "txim", "gateway",
    "sms_rmq", "costcenter_rmq", "order_rmq", "messagecenter_rmq",
)  # fmt: skip
"""Those of the mesh. The sandbox is the outside world: it keeps what it got in memory, and is never killed."""

FAST: Mapping[str, Mapping[str, str]] = {
    "gateway": {"BRANDMESH_RATE_PER_SECOND": "10000", "BRANDMESH_RATE_BURST": "10000"},
    "sandbox": {"BRANDMESH_SANDBOX_CHUANGLAN_PUSH_RETRY_SECONDS": "1"},
    "sms_rmq": {"BRANDMESH_CLAIM_LEASE_SECONDS": "5", "BRANDMESH_SUBMIT_LEASE_SECONDS": "30"},
    "messagecenter_rmq": {"BRANDMESH_SEND_TIMEOUT_SECONDS": "6", "BRANDMESH_LEASE_SECONDS": "12"},
    "costcenter_rmq": {"BRANDMESH_REPLAY_AFTER_SECONDS": "3", "BRANDMESH_SWEEP_SECONDS": "1"},
    "order": {
        "BRANDMESH_ORDER_CONFIRM_SECONDS": "15",
        "BRANDMESH_ORDER_LIFETIME_MINUTES": "1",
        "BRANDMESH_RECHARGE_LIFETIME_MINUTES": "1",
        "BRANDMESH_FLASH_SALE_ATTEMPT_SECONDS": "20",
        "BRANDMESH_PAYMENT_ASK_AGAIN_SECONDS": "1",
    },
    "order_rmq": {"BRANDMESH_SWEEP_SECONDS": "1"},
}
"""Short times, so that what heals itself does so within a run."""

REDIS = "redis"


@dataclass(slots=True)
class Site:
    """A running mesh, its servers, its apps, and the accounts as they were before the load."""

    ground: Ground
    mesh: LocalMesh
    session: aiohttp.ClientSession
    timeline: Timeline
    customers: list[Customer] = field(default_factory=list)
    before: dict[int, Account] = field(default_factory=dict)
    articles: dict[int, list[Article]] = field(default_factory=dict)
    """What is on the shelves of each brand's shop."""
    lost_receipts: set[str] = field(default_factory=set)
    """Phones whose receipts a fault took from the mesh, after it had acknowledged them to the provider."""
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def lock(self, name: str) -> asyncio.Lock:
        """Hold this while something is done to a process or a server: faults that want the same one take turns."""
        return self._locks[name]

    async def kill(self, name: str, down_seconds: float) -> None:
        """End a process of the mesh, or `REDIS`, by SIGKILL, and start it again after `down_seconds`."""
        async with self.lock(name):
            self.timeline.note(f"kill {name}")
            await (self.ground.redis.kill() if name == REDIS else self.mesh.supervisor.kill(name))
            await asyncio.sleep(down_seconds)
            await (self.ground.redis.start() if name == REDIS else self.mesh.restart(name))
            self.timeline.note(f"{name} is back")

    def pid(self, name: str) -> int:
        """Answer the process id of a process of the mesh, for faults that strike it from outside."""
        return self.mesh.supervisor.pid(name)

    async def sandbox(self, method: str, path: str, body: Json | None = None, **parameters: str) -> Json:
        """Call the sandbox's admin (sandbox/README.md). Raises ClientResponseError."""
        url = f"{self.mesh.sandbox_url}{path}"
        async with self.session.request(method, url, json=body, params=parameters) as response:
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise RuntimeError(f"the sandbox refuses {method} {path}: {await response.text()}")
            answer: Json = await response.json(content_type=None)
            return answer

    @asynccontextmanager
    async def outside_fault(self, kind: str, **fields: Any) -> AsyncIterator[None]:
        """Have a fault of the sandbox on for the block."""
        fault = await self.sandbox("POST", "/admin/faults", {"kind": kind, **fields})
        self.timeline.note(f"{kind} {fields}")
        try:
            yield
        finally:
            await self.sandbox("DELETE", f"/admin/faults/{fault['id']}")
            self.timeline.note(f"{kind} is over")

    async def heal(self) -> None:
        """Put right whatever a fault may have left: servers run, and the outside world behaves."""
        await self.ground.redis.start()
        if self.ground.database is not None:
            await self.ground.database.start()
        if self.ground.proxy is not None:
            self.ground.proxy.judge = None
        await self.sandbox("POST", "/admin/reset")


@asynccontextmanager
async def running_site(
    ground: Ground, state: Path, timeline: Timeline, settings: Mapping[str, Mapping[str, str]]
) -> AsyncIterator[Site]:
    """Run the mesh on its servers, with two brands that have credit, an app each, and a shop each."""
    environment = {name: {**FAST.get(name, {}), **settings.get(name, {})} for name in FAST.keys() | settings.keys()}
    options = LocalOptions(
        state,
        fixed_ports=False,
        environment=environment,
        database_url=ground.database_url,
        redis_url=ground.redis.url,
        bus_url=ground.bus_url,
    )
    async with run_local(options) as mesh:
        timeout, connector = aiohttp.ClientTimeout(total=120), aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            site = Site(ground, mesh, session, timeline)
            told = Told()
            for brand in await demo.prepare(mesh):
                customer = Customer(App(session, mesh.gateway_url, brand.brand_id, brand.api_key), told)
                await furnish(customer)
                site.articles[brand.brand_id] = await open_shop(customer)
                site.customers.append(customer)
                site.before[brand.brand_id] = await account_of(customer)
            yield site


async def account_of(customer: Customer) -> Account:
    """Read a brand's balance."""
    read = await customer.app.ok("GET", "/smsAccount")
    return Account(*(int(read[name]) for name in ("available", "frozen", "spent", "granted")))
