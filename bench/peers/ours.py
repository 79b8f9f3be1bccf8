"""brandmesh on the work that its peers get, measured by the rows of its own table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import batch_sms, single_sms
from bench.engine_choice import DatabaseEngine
from bench.fresh_brands import fresh_brands
from bench.local import Measured, measured_mesh
from bench.peers.gateway import ACCEPTED, SETTLED, SUBMITTED
from bench.peers.result import Result, Results, Work
from meshctl.app import App

_NOT_OURS = {"sandbox", "the load"}
_WARM_UP = Work(messages=500, connections=16)


async def measure(database: DatabaseEngine, works: Sequence[Work]) -> Results:
    """Run a mesh, warm it up, and do each work with a brand of its own."""
    async with measured_mesh(database) as measured:
        credit = max(work.messages for work in (_WARM_UP, *works))
        warm_up, *apps = await fresh_brands(measured, 1 + len(works), credit=credit)
        await _run(measured, database, warm_up, _WARM_UP)
        return {work: await _run(measured, database, app, work) for work, app in zip(works, apps, strict=True)}


async def _run(measured: Measured, database: DatabaseEngine, app: App, work: Work) -> Result:
    """A batch is one request here, whatever the peers take at once."""
    if work.recipients > 1:
        return _of_batch(await batch_sms.run(measured, database, app, work.messages))
    return _of_single(await single_sms.run(measured, database, app, work.connections, work.messages))


def _of_single(run: single_sms.Run) -> Result:
    return Result(
        rates={ACCEPTED: run.accepted, SETTLED: run.settled},
        latencies_ms={"accept p50": run.p50_ms, "accept p99": run.p99_ms},
        cost_us=_own(run.costs_us),
    )


def _of_batch(run: batch_sms.Run) -> Result:
    return Result(
        rates={ACCEPTED: run.accepted, SUBMITTED: run.submitted, SETTLED: run.settled},
        latencies_ms={},
        cost_us=_own(run.submitting_us) + _own(run.settling_us),
    )


def _own(costs_us: Mapping[str, float]) -> float:
    return sum(cost for name, cost in costs_us.items() if name not in _NOT_OURS)
