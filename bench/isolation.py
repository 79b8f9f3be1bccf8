"""Verification codes of one brand beside another brand's marketing: from the REST request until the provider has each.

Measured idle, while a large campaign is taken in and sent, and while its receipts come in; with the consumers of
`make run`, and with verification codes in a consumer process of their own.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from bench.batch_sms import RECIPIENTS, send_campaign
from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, Target, at_most, percentile, ratios
from bench.fresh_brands import fresh_brands
from bench.local import Measured, measured_mesh
from bench.pace import paced
from bench.provider import accepted_messages, arrivals, until_accepted
from bench.settled import check_delivered, until_campaign_settled
from meshctl.app import App

CODES_PER_SECOND = 20
IDLE_SECONDS = 15
RECEIPTS_SECONDS = 10
CAMPAIGNS = 2
"""Requests of as many recipients as one takes."""

P99_TARGET_MS = at_most(150)
RATIO_TARGET = at_most(2)

_WARM_UP_SECONDS = 3
_ARRIVAL_SECONDS_MAX = 60.0
_SUBMIT_SECONDS_MAX = 300.0
_PHASES = ("idle", "beside the backlog", "beside its receipts")

# The stand-in has to remember the campaign, and the codes that went out in the middle of it.
_REMEMBERED = str(2 * RECIPIENTS * CAMPAIGNS)
_SANDBOX = {
    "BRANDMESH_SANDBOX_CHUANGLAN_MESSAGES_KEPT_MAX": _REMEMBERED,
    "BRANDMESH_SANDBOX_PENDING_PUSHES_MAX": _REMEMBERED,
}
_SHARED = {"sandbox": _SANDBOX}
_APART = {"sandbox": _SANDBOX, "sms_rmq": {"BRANDMESH_TYPES": "notification,marketing"}}
_CODES_ALONE = ("--types", "verification", "--no-receipts")


class Codes:
    """Sends codes at an even pace, whatever becomes of those before."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.sent_at: dict[str, float] = {}

    async def send(self, seconds: float, stop: asyncio.Event | None = None) -> None:
        """Send for so long, or until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            async for _ in paced(CODES_PER_SECOND, seconds):
                if stop is not None and stop.is_set():
                    return
                group.create_task(self._send_one())

    async def _send_one(self) -> None:
        phone = f"137{uuid.uuid4().int % 10**8:08d}"
        body = {
            "requestId": uuid.uuid4().hex,
            "type": "verification",
            "phones": [phone],
            "content": "Your code is 135790",
            "signature": "brandmesh",
        }
        self.sent_at[phone] = time.time()
        await self._app.ok("POST", "/sms", body)


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: of each phase the milliseconds that each code took."""

    latencies_ms: dict[str, list[float]]
    submitted_per_second: float
    """Recipients of the campaign, from its request until the provider has all, with the codes beside them."""

    def percentile(self, phase: str, percent: float) -> float:
        """Answer a percentile of a phase."""
        return percentile(self.latencies_ms[phase], percent)


async def measure(database: DatabaseEngine, runs: int, *, codes_apart: bool = False) -> list[Figure]:
    """Measure `runs` times on one mesh, each with a campaign of another brand."""
    async with measured_mesh(database, _APART if codes_apart else _SHARED) as measured:
        if codes_apart:
            spec = measured.mesh.spec("sms_rmq", process_name="sms_rmq_codes", arguments=_CODES_ALONE)
            await measured.mesh.supervisor.start([spec])
        hurried, *bulk = await fresh_brands(measured, 1 + runs, credit=RECIPIENTS * CAMPAIGNS)
        await Codes(hurried).send(_WARM_UP_SECONDS)
        results = [await run(measured, hurried, one) for one in bulk]
    return _figures(results, is_apart=codes_apart)


async def run(measured: Measured, hurried: App, bulk: App) -> Run:
    """Send codes idle, beside a campaign, and beside its receipts; then wait until the campaign is settled."""
    latencies_ms = {"idle": await _latencies(measured, hurried, IDLE_SECONDS)}
    total = await accepted_messages(measured) + RECIPIENTS * CAMPAIGNS
    submitted = asyncio.Event()
    began = time.perf_counter()
    took_seconds = 0.0

    async def backlog() -> list[str]:
        nonlocal took_seconds
        firsts = [number * RECIPIENTS for number in range(CAMPAIGNS)]
        task_ids = await asyncio.gather(*(send_campaign(bulk, RECIPIENTS, first_phone=first) for first in firsts))
        await until_accepted(measured, total, _SUBMIT_SECONDS_MAX)
        took_seconds = time.perf_counter() - began
        submitted.set()
        return task_ids

    async with asyncio.TaskGroup() as group:
        campaigns = group.create_task(backlog())
        beside = group.create_task(_latencies(measured, hurried, _SUBMIT_SECONDS_MAX, submitted))
    latencies_ms["beside the backlog"] = beside.result()
    latencies_ms["beside its receipts"] = await _latencies(measured, hurried, RECEIPTS_SECONDS)
    for task_id in campaigns.result():
        await until_campaign_settled(bulk, task_id)
        await check_delivered(bulk, RECIPIENTS, taskId=task_id)
    return Run(latencies_ms, RECIPIENTS * CAMPAIGNS / took_seconds)


async def _latencies(measured: Measured, app: App, seconds: float, stop: asyncio.Event | None = None) -> list[float]:
    """Send codes and answer how many milliseconds each took until the provider had it."""
    codes = Codes(app)
    await codes.send(seconds, stop)
    arrived_at = await arrivals(measured, codes.sent_at, _ARRIVAL_SECONDS_MAX)
    return [(arrived_at[phone] - sent_at) * 1000 for phone, sent_at in codes.sent_at.items()]


def _figures(runs: Sequence[Run], *, is_apart: bool) -> list[Figure]:
    row = f"codes beside {RECIPIENTS * CAMPAIGNS:,} SMS" + (", own consumer" if is_apart else "")

    def figure(phase: str, percent: int, target: Target | None = None) -> Figure:
        return Figure(row, f"p{percent} {phase}", "ms", tuple(one.percentile(phase, percent) for one in runs), target)

    p50s = [figure(phase, 50) for phase in _PHASES]
    idle, *beside = (figure(phase, 99, P99_TARGET_MS if phase != "idle" else None) for phase in _PHASES)
    quotients = [ratios(row, f"{one.what} / idle", one, idle, RATIO_TARGET) for one in beside]
    campaign = Figure(row, "the campaign, submitted", "recipients/s", tuple(one.submitted_per_second for one in runs))
    return [*p50s, idle, *beside, *quotients, campaign]
