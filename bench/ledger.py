"""The ledger's speed: freeze+pay pairs a second by a real cost center, beside the naive way on the same database.

The client's processor time is part of it, as it is for whoever freezes and pays: it runs on the same machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bench import naive, raw_limits
from bench.cost_center import Client, running_cost_center
from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, at_least, ratios
from bench.rate import rate

ROW = "ledger"
BATCH_SIZE = 1000
BATCH_CALLERS = 4
UNARY_CALLERS = 64
BRANDS = 1000
HOT_BRAND_ID = 1

BATCH_PAIRS = 60_000
UNARY_PAIRS = 8000
NAIVE_PAIRS = 1500

_RATE = "pairs/s"
_HOT, _SPREAD = "Batch rpcs, one hot brand", f"Batch rpcs, {BRANDS:,} brands"
_UNARY = f"unary rpcs, {UNARY_CALLERS} callers"
_NAIVE = f"naive, best of {'/'.join(map(str, naive.CALLERS))} callers"
_ECHO = "grpc.aio echo, calls"


async def measure(database: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure `runs` times, each on a cost center and tables of its own."""
    results = [await _run(database) for _ in range(runs)]
    values = {name: tuple(result[name] for result in results) for name in results[0]}
    hot = Figure(ROW, _HOT, _RATE, values[_HOT], at_least(15_000))
    spread = Figure(ROW, _SPREAD, _RATE, values[_SPREAD])
    unary = Figure(ROW, _UNARY, _RATE, values[_UNARY], at_least(2500))
    naive_way = Figure(ROW, _NAIVE, _RATE, values[_NAIVE])
    echo = Figure(ROW, _ECHO, "calls/s", values[_ECHO])
    return [
        hot,
        naive_way,
        ratios(ROW, "hot brand to naive", hot, naive_way, at_least(15)),
        spread,
        ratios(ROW, f"{BRANDS:,} brands to hot brand", spread, hot, at_least(0.7)),
        unary,
        echo,
        ratios(ROW, "unary pairs to echo calls (0.5: no cost but gRPC's)", unary, echo),
    ]


async def _run(database: DatabaseEngine) -> dict[str, float]:
    brand_ids = range(HOT_BRAND_ID, HOT_BRAND_ID + BRANDS)
    async with running_cost_center(database, brand_ids) as client:
        await _batch_rate(client, [HOT_BRAND_ID], BATCH_PAIRS // 10)
        found = {
            _HOT: await _batch_rate(client, [HOT_BRAND_ID], BATCH_PAIRS),
            _SPREAD: await _batch_rate(client, brand_ids, BATCH_PAIRS),
            _UNARY: await rate(lambda: client.pair(HOT_BRAND_ID), callers=UNARY_CALLERS, times=UNARY_PAIRS),
        }
    return {
        **found,
        _NAIVE: await naive.best_rate(database, NAIVE_PAIRS),
        _ECHO: await raw_limits.grpc_echo_rate(),
    }


async def _batch_rate(client: Client, brand_ids: Sequence[int], pairs: int) -> float:
    """Answer pairs a second when the brands take turns."""
    turns = itertools.cycle(brand_ids)
    batches = pairs // BATCH_SIZE
    return BATCH_SIZE * await rate(
        lambda: client.pairs(list(itertools.islice(turns, BATCH_SIZE))), callers=BATCH_CALLERS, times=batches
    )
