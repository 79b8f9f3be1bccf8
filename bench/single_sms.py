"""Single SMS over REST, one a request: how many are accepted and how many are settled in a second, and what each costs.

A message is settled when its delivered receipt is recorded, as the API shows it. The processor time of each process is
shared among the messages: that is what to look at when one wants to make it faster.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from bench import http_load
from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, Target, at_least, at_most, percentile, ratios
from bench.fresh_brands import fresh_brands
from bench.local import Measured, measured_mesh
from bench.processes import OF_ONE_SMS, cpu_seconds, cpu_us_per_message, pids_of
from bench.settled import check_delivered, until_settled
from meshctl.app import App

MESSAGES = {1: 2000, 16: 15_000, 64: 25_000, 256: 25_000}
"""How many are sent over so many connections: ten seconds and more of them at the speed that is aimed at."""

TARGETS: dict[str, Target] = {"settled": at_least(2500), "accept p99": at_most(60)}
"""Those of 64 connections."""

_WARM_UP_MESSAGES = 500
_LOAD = "the load"
_RATE, _LATENCY, _COST = "SMS/s", "ms", "us CPU/SMS"


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement. Rates are a second, latencies milliseconds, costs microseconds of processor time a message."""

    accepted: float
    settled: float
    p50_ms: float
    p99_ms: float
    costs_us: dict[str, float]


async def measure(database: DatabaseEngine, runs: int, connections: int) -> list[Figure]:
    """Measure `runs` times on one mesh, each with a brand of its own, after a short run that warms it up."""
    async with measured_mesh(database) as measured:
        warm_up, *apps = await fresh_brands(measured, 1 + runs, credit=MESSAGES[connections])
        await run(measured, database, warm_up, connections, _WARM_UP_MESSAGES)
        results = [await run(measured, database, app, connections, MESSAGES[connections]) for app in apps]
    return _figures(results, connections)


async def run(measured: Measured, database: DatabaseEngine, app: App, connections: int, messages: int) -> Run:
    """Send so many messages of a brand that has none yet, and wait until all are settled."""
    processes = pids_of(measured, database)
    before = cpu_seconds(processes)
    seen = await send(app, connections, messages)
    settled_at = await until_settled(app, seen.last_message_id)
    costs_us = cpu_us_per_message(before, cpu_seconds(processes), messages)
    await check_delivered(app, messages)
    return Run(
        accepted=messages / (seen.ended_at - seen.began_at),
        settled=messages / (settled_at - seen.began_at),
        p50_ms=percentile(seen.latencies_ms, 50),
        p99_ms=percentile(seen.latencies_ms, 99),
        costs_us={**costs_us, _LOAD: seen.cpu_seconds / messages * 1e6},
    )


async def send(app: App, connections: int, messages: int, sms_type: str = "verification") -> http_load.Seen:
    """Let the load send. Raises LoadError."""
    address = urlsplit(app.gateway_url)
    plan = http_load.Plan(
        host=address.hostname or "",
        port=address.port or 80,
        brand_id=app.brand_id,
        api_key=app.api_key,
        run_id=uuid.uuid4().hex,
        sms_type=sms_type,
        connections=connections,
        messages=messages,
    )
    load = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", http_load.__name__), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await load.communicate(json.dumps(asdict(plan)).encode())
    if load.returncode:
        raise http_load.LoadError(f"the load ended with code {load.returncode}; what it said stands above")
    return http_load.Seen(**json.loads(output))


def _figures(runs: Sequence[Run], connections: int) -> list[Figure]:
    row = f"REST single SMS, {connections} connections"
    targets = TARGETS if connections == 64 else {}  # noqa: PLR2004  # as the targets say
    figures = [
        Figure(row, "accepted", _RATE, tuple(one.accepted for one in runs)),
        Figure(row, "settled", _RATE, tuple(one.settled for one in runs), targets.get("settled")),
        Figure(row, "accept p50", _LATENCY, tuple(one.p50_ms for one in runs)),
        Figure(row, "accept p99", _LATENCY, tuple(one.p99_ms for one in runs), targets.get("accept p99")),
    ]
    shown = [name for name in (*OF_ONE_SMS, _LOAD) if name in runs[0].costs_us]
    costs = [Figure(row, name, _COST, tuple(one.costs_us[name] for one in runs)) for name in shown]
    total = Figure(row, "all processes", _COST, tuple(sum(one.costs_us.values()) for one in runs))
    outside = Figure(row, "the sandbox and the load", _COST, tuple(_outside_us(one) for one in runs))
    return [*figures, *costs, total, ratios(row, "the sandbox and the load / all processes", outside, total)]


def _outside_us(run: Run) -> float:
    """Answer what the measurement itself costs: a real installation has neither."""
    return run.costs_us["sandbox"] + run.costs_us[_LOAD]
