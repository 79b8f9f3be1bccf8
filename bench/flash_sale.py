"""A flash sale: 100,000 attempts of 20,000 users for 1,000 of something, beside the naive way on the same database.

Everything runs as it does for users: the gateway, order_rpc with all its services, order_rmq behind it, the wallet that
takes the coins. The client's processor time is part of it: it runs on the same machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from urllib.parse import urlsplit

from bench import flash_sale_load, http_load, naive_flash_sale
from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, at_least, at_most, percentile, ratios
from bench.flash_sale_client import Client
from bench.local import Measured, measured_mesh
from bench.naive import CALLERS
from mesh.batch import unpack
from mesh.channel import Peer
from mesh.errors import DomainError

ROW = "flash sale"
STOCK, ATTEMPTS, USERS = 1000, 100_000, 20_000
NAIVE_SHARE = 20
"""The naive way gets one in so many of stock, attempts and users: its rate is what counts."""

REST_CONNECTIONS = 64
REST_ATTEMPTS = 10_000
REST_STOCK = {"one in 100 buys": REST_ATTEMPTS // 100, "one in 10 buys": REST_ATTEMPTS // 10, "all buy": REST_ATTEMPTS}
"""The first is the share of the sale above."""

_FIRST_REST_USER_ID = 1_000_001


_ATTEMPTS, _NAIVE = "Batch rpcs, attempts", f"naive, best of {'/'.join(map(str, CALLERS))} callers"
_SETTLED, _SOLD, _LEFT = "sold and paid", "sold", "left"
_P99 = "REST, one in 100 buys, p99"


async def measure(database: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure `runs` times on one mesh, each a sale and users of its own, after a short one that warms it up."""
    async with measured_mesh(database) as measured, _client(measured) as client:
        await _sell(client, ATTEMPTS // 10)
        results = [
            {
                **await _sell(client, ATTEMPTS),
                **{
                    name: value
                    for case in REST_STOCK
                    for name, value in (await _sell_over_rest(measured, client, case)).items()
                },
                _NAIVE: await naive_flash_sale.best_rate(database, *_naive_load()),
            }
            for _ in range(runs)
        ]
    targets = {_SOLD: at_least(STOCK), _LEFT: at_most(0), _P99: at_most(50)}
    figures = {
        name: Figure(ROW, name, _unit(name), tuple(one[name] for one in results), targets.get(name))
        for name in results[0]
    }
    ratio = ratios(ROW, "attempts to naive", figures[_ATTEMPTS], figures[_NAIVE], at_least(20))
    return [*figures.values(), ratio]


def _naive_load() -> tuple[list[int], int]:
    return naive_flash_sale.tries(ATTEMPTS // NAIVE_SHARE, USERS // NAIVE_SHARE), STOCK // NAIVE_SHARE


def _unit(name: str) -> str:
    if name in {_SOLD, _LEFT}:
        return "goods"
    if name == _SETTLED:
        return "orders/s"
    return "ms" if name.endswith(("p50", "p99")) else "attempts/s"


async def _sell(client: Client, attempts: int) -> dict[str, float]:
    """Sell by Batch rpcs, until all of it is paid and ordered."""
    users, stock = USERS * attempts // ATTEMPTS, STOCK * attempts // ATTEMPTS
    await client.fund(range(1, users + 1))
    sale = await client.publish(stock)
    batches = client.requests(sale, naive_flash_sale.tries(attempts, users))
    began = time.perf_counter()
    results = await client.buy(batches)
    taken_seconds = time.perf_counter() - began
    bought = [one for one in unpack(results) if not isinstance(one, DomainError)]
    await client.until_settled(sale, len(bought))
    return {
        _ATTEMPTS: attempts / taken_seconds,
        _SETTLED: len(bought) / (time.perf_counter() - began),
        _SOLD: len(bought),
        _LEFT: await client.left(sale),
    }


async def _sell_over_rest(measured: Measured, client: Client, case: str) -> dict[str, float]:
    """Let one user after the other try over REST, and wait for the orders of those who got something."""
    stock = REST_STOCK[case]
    await client.fund(range(_FIRST_REST_USER_ID, _FIRST_REST_USER_ID + REST_ATTEMPTS))
    sale = await client.publish(stock)
    address, app = urlsplit(measured.mesh.gateway_url), measured.apps[0]
    plan = flash_sale_load.Plan(
        host=address.hostname or "",
        port=address.port or 80,
        brand_id=app.brand_id,
        api_key=app.api_key,
        flash_sale_id=sale.flash_sale_id,
        first_user_id=_FIRST_REST_USER_ID,
        connections=REST_CONNECTIONS,
        attempts=REST_ATTEMPTS,
    )
    load = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", flash_sale_load.__name__), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await load.communicate(json.dumps(asdict(plan)).encode())
    if load.returncode:
        raise http_load.LoadError(f"the load ended with code {load.returncode}; what it said stands above")
    seen = flash_sale_load.Seen(**json.loads(output))
    await client.until_settled(sale, stock)
    return {
        f"REST, {case}": REST_ATTEMPTS / (seen.ended_at - seen.began_at),
        f"REST, {case}, p50": percentile(seen.latencies_ms, 50),
        f"REST, {case}, p99": percentile(seen.latencies_ms, 99),
    }


@asynccontextmanager
async def _client(measured: Measured) -> AsyncIterator[Client]:
    peer = Peer("order", measured.mesh.grpc_addresses["order"])
    try:
        yield Client(peer, measured.apps[0].brand_id)
    finally:
        await peer.close()
