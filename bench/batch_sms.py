"""A campaign in one request: recipients a second, until the provider has all of them, and until all are settled."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, at_least
from bench.fresh_brands import fresh_brands
from bench.local import Measured, measured_mesh
from bench.processes import OF_ONE_SMS, cpu_seconds, cpu_us_per_message, pids_of
from bench.provider import accepted_messages, until_accepted
from bench.settled import check_delivered, until_campaign_settled
from meshctl.app import App

RECIPIENTS = 100_000
"""As many as one request takes."""

SUBMITTED_TARGET = at_least(25_000)

_WARM_UP_RECIPIENTS = 5000
_SUBMIT_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement. Rates are recipients a second since the request; costs are microseconds a recipient."""

    accepted: float
    submitted: float
    settled: float
    submitting_us: dict[str, float]
    settling_us: dict[str, float]


async def measure(database: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure `runs` times on one mesh, each with a brand of its own, after a small campaign that warms it up."""
    async with measured_mesh(database) as measured:
        warm_up, *apps = await fresh_brands(measured, 1 + runs, credit=RECIPIENTS)
        await run(measured, database, warm_up, _WARM_UP_RECIPIENTS)
        results = [await run(measured, database, app, RECIPIENTS) for app in apps]
    return _figures(results)


async def run(measured: Measured, database: DatabaseEngine, app: App, recipients: int) -> Run:
    """Send one campaign of a brand that has sent nothing yet, and wait until all of it is settled."""
    processes = pids_of(measured, database)
    seen_before, began = await accepted_messages(measured), cpu_seconds(processes)
    began_at = time.time()
    task_id = await send_campaign(app, recipients)
    accepted_at = time.time()
    submitted_at = await until_accepted(measured, seen_before + recipients, _SUBMIT_SECONDS_MAX)
    submitted = cpu_seconds(processes)
    settled_at = await until_campaign_settled(app, task_id)
    settled = cpu_seconds(processes)
    await check_delivered(app, recipients, taskId=task_id)
    return Run(
        accepted=recipients / (accepted_at - began_at),
        submitted=recipients / (submitted_at - began_at),
        settled=recipients / (settled_at - began_at),
        submitting_us=cpu_us_per_message(began, submitted, recipients),
        settling_us=cpu_us_per_message(submitted, settled, recipients),
    )


async def send_campaign(app: App, recipients: int, first_phone: int = 0) -> str:
    """Send one marketing text to so many made-up phones in one request; answer the id of its task."""
    body = {
        "requestId": uuid.uuid4().hex,
        "type": "marketing",
        "phones": [f"136{first_phone + number:08d}" for number in range(recipients)],
        "content": "Winter sale: two for one until Sunday",
        "signature": "brandmesh",
    }
    return str((await app.ok("POST", "/sms", body))["taskId"])


def _figures(runs: Sequence[Run]) -> list[Figure]:
    unit = "recipients/s"
    row = f"one request of {RECIPIENTS:,} recipients"
    figures = [
        Figure(row, "accepted", unit, tuple(one.accepted for one in runs)),
        Figure(row, "submitted", unit, tuple(one.submitted for one in runs), SUBMITTED_TARGET),
        Figure(row, "settled", unit, tuple(one.settled for one in runs)),
    ]
    names = [name for name in OF_ONE_SMS if name in runs[0].submitting_us]
    for until, costs in (
        ("until submitted", [one.submitting_us for one in runs]),
        ("from there until settled", [one.settling_us for one in runs]),
    ):
        figures += [
            Figure(row, f"{name} {until}", "us CPU/recipient", tuple(one[name] for one in costs)) for name in names
        ]
    return figures
