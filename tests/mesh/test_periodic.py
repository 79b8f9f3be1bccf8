from __future__ import annotations

import asyncio

import structlog
from prometheus_client import REGISTRY

from mesh.periodic import Periodic
from mesh.testing import eventually


async def test_runs_again_and_again_never_twice_at_once() -> None:
    runs = running = 0

    async def job() -> None:
        nonlocal runs, running
        assert running == 0
        running += 1
        await asyncio.sleep(0.03)
        running -= 1
        runs += 1

    stop = asyncio.Event()
    task = asyncio.create_task(Periodic("again", job, 0.01).run(stop))
    await eventually(lambda: runs >= 3)
    stop.set()
    await task
    assert running == 0


async def test_a_failure_is_told_and_the_next_run_comes() -> None:
    outcomes = ["failed", "done"]

    stop = asyncio.Event()

    async def job() -> None:
        if outcomes.pop(0) == "failed":
            raise LookupError("no such row")
        stop.set()

    with structlog.testing.capture_logs() as logs:
        await asyncio.wait_for(Periodic("failing", job, 0.01).run(stop), 30)
    assert ("periodic job failed", "failing") in {(entry["event"], entry.get("job")) for entry in logs}
    for outcome in ("failed", "done"):
        labels = {"job": "failing", "outcome": outcome}
        assert REGISTRY.get_sample_value("brandmesh_periodic_runs_total", labels) == 1


async def test_stops_without_waiting_for_the_next_run() -> None:
    async def job() -> None:
        raise AssertionError("must not run")

    stop = asyncio.Event()
    task = asyncio.create_task(Periodic("rare", job, 36_000).run(stop))
    await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(task, 1)
