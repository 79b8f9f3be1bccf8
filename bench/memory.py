"""What each process of `make run` holds: idle, after single SMS, after a campaign, and while a million messages pass.

RSS is what a process has in memory; USS is what only it has; PSS is USS and its share of what it has together with
others, so that PSS can be added up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp
import psutil

from bench.batch_sms import send_campaign
from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, at_most
from bench.run_command import running_command
from bench.settled import check_delivered, until_campaign_settled, until_settled
from bench.single_sms import send
from meshctl.app import App
from meshctl.demo import BRAND_IDS

SINGLE_MESSAGES = 25_000
CONNECTIONS = 64
CAMPAIGN_RECIPIENTS = 100_000

FLAT_CAMPAIGNS = 10
"""Of a million credits, which is what a brand of `make run` begins with."""

PROCESS_TARGET_MB = at_most(90)
TOTAL_TARGET_MB = at_most(1024)
GROWTH_TARGET = at_most(1.1)

_IDLE_SECONDS = 5.0
_REMEMBERED_BY_SANDBOX = {"BRANDMESH_SANDBOX_CHUANGLAN_DUPLICATE_KEYS_MAX": "200000"}
"""What the provider's stand-in may remember of old messages is to be full before growth is looked at."""
_MEGABYTE = 1 << 20
_CLIENT_TIMEOUT = aiohttp.ClientTimeout(total=300)

Memory = dict[str, dict[str, float]]
"""Megabytes by process and kind."""


async def measure(_: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure `runs` times, each on a mesh of its own, always on SQLite: the command knows nothing else."""
    results = [await _run() for _ in range(runs)]
    return [figure for moment in results[0] for figure in _figures(moment, [one[moment] for one in results])]


async def measure_flat(_database: DatabaseEngine, _runs: int) -> list[Figure]:
    """Let a million messages pass, once, in campaigns; answer what is held at the end, and how much that grew.

    The first campaigns fill what is kept within bounds, so growth is counted from the middle on.
    """
    async with (
        running_command(**_REMEMBERED_BY_SANDBOX) as command,
        aiohttp.ClientSession(timeout=_CLIENT_TIMEOUT) as session,
    ):
        await command.until_serving()
        app = command.app(session, BRAND_IDS[1])
        readings: list[Memory] = []
        for _ in range(FLAT_CAMPAIGNS):
            await _campaign(app)
            readings.append(read(command.processes()))
    return _growth(readings)


def read(processes: Mapping[str, psutil.Process]) -> Memory:
    """Read what processes hold, in megabytes."""
    infos = {name: process.memory_full_info() for name, process in processes.items()}
    return {
        name: {kind: getattr(info, kind) / _MEGABYTE for kind in ("rss", "pss", "uss")} for name, info in infos.items()
    }


async def _run() -> dict[str, Memory]:
    async with running_command() as command, aiohttp.ClientSession(timeout=_CLIENT_TIMEOUT) as session:
        await command.until_serving()
        await asyncio.sleep(_IDLE_SECONDS)
        found = {"idle": read(command.processes())}
        # Not the first brand: the command has sent an SMS of it.
        app = command.app(session, BRAND_IDS[1])
        seen = await send(app, CONNECTIONS, SINGLE_MESSAGES)
        await until_settled(app, seen.last_message_id)
        await check_delivered(app, SINGLE_MESSAGES)
        found[f"after {SINGLE_MESSAGES:,} single SMS"] = read(command.processes())
        await _campaign(app)
        found[f"then after {CAMPAIGN_RECIPIENTS:,} recipients"] = read(command.processes())
    return found


async def _campaign(app: App) -> None:
    """Send a campaign and wait until it is settled."""
    task_id = await send_campaign(app, CAMPAIGN_RECIPIENTS)
    await until_campaign_settled(app, task_id)
    await check_delivered(app, CAMPAIGN_RECIPIENTS, taskId=task_id)


def _figures(moment: str, readings: Sequence[Memory]) -> list[Figure]:
    """Make figures of one moment: each process, and the whole."""
    row, is_idle = f"memory {moment}", moment == "idle"

    def figure(name: str, kind: str) -> Figure:
        target = PROCESS_TARGET_MB if is_idle and kind == "rss" else None
        return Figure(row, f"{name} {kind.upper()}", "MB", tuple(one[name][kind] for one in readings), target)

    processes = [figure(name, kind) for name in readings[0] for kind in ("rss", "uss")]
    whole = tuple(sum(process["pss"] for process in one.values()) for one in readings)
    return [*processes, Figure(row, "the whole, PSS", "MB", whole, TOTAL_TARGET_MB)]


def _growth(readings: Sequence[Memory]) -> list[Figure]:
    """Make figures of a row of readings."""
    row = f"memory while {FLAT_CAMPAIGNS * CAMPAIGN_RECIPIENTS:,} messages pass"
    middle, end = readings[len(readings) // 2 - 1], readings[-1]
    figures = []
    for name in end:
        before, after = middle[name]["rss"], end[name]["rss"]
        figures += [
            Figure(row, f"{name} RSS at the end", "MB", (after,)),
            Figure(row, f"{name} RSS at the end / at the middle", "ratio", (after / before,), GROWTH_TARGET),
        ]
    return figures
