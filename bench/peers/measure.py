"""One run of a gateway: requests by a load process, and the time when the last message has come as far as they come."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from bench.figures import percentile
from bench.http_load import LoadError
from bench.peers import load
from bench.peers.gateway import ACCEPTED, Gateway
from bench.peers.result import PERCENTILES, Result, Work
from bench.processes import cpu_seconds, cpu_us_per_message

_THROUGH_SECONDS_MAX = 300.0
_FIRST_SECONDS_MAX = 3.0
_FIRST_TRIES_MAX = 20


class NeverSettledError(Exception):
    """A gateway that was started and brings no message through."""


async def until_it_works(gateway: Gateway) -> None:
    """Send one message after another until one is settled: not every part of a gateway tells when it is ready.

    What Jasmin takes before its dlrlookupd listens, for one, never gets its receipt. Raises NeverSettledError.
    """
    for _ in range(_FIRST_TRIES_MAX):
        try:
            await _send(gateway, Work(messages=1, connections=1), _FIRST_SECONDS_MAX)
        except TimeoutError:
            continue
        return
    raise NeverSettledError(f"none of {_FIRST_TRIES_MAX} messages was settled within {_FIRST_SECONDS_MAX:g} s")


async def run(gateway: Gateway, work: Work, end: str) -> Result:
    """Send everything, and wait until the last message has come to its end. Raises LoadError, TimeoutError."""
    processes = {"gateway": gateway.pids}
    before = cpu_seconds(processes)
    answered, through_at = await _send(gateway, work, _THROUGH_SECONDS_MAX)
    return Result(
        rates={
            ACCEPTED: work.messages / (answered.ended_at - answered.began_at),
            end: work.messages / (through_at - answered.began_at),
        },
        latencies_ms={name: percentile(answered.latencies_ms, percent) for name, percent in PERCENTILES.items()},
        cost_us=cpu_us_per_message(before, cpu_seconds(processes), work.messages)["gateway"],
    )


async def _send(gateway: Gateway, work: Work, through_seconds_max: float) -> tuple[load.Answered, float]:
    """Answer what the load saw, and when the last message was through."""
    await gateway.settling.expect(work.messages)
    answered = await _answered(load.GetPlan(gateway.port, work.connections, list(paths(gateway, work))))
    return answered, await gateway.settling.complete(through_seconds_max)


def paths(gateway: Gateway, work: Work) -> Iterator[str]:
    """Render the phones and texts that bench/http_load.py sends, with the signature before the text."""
    phones = [f"86139{number:08d}" for number in range(work.messages)]
    for first in range(0, work.messages, work.recipients):
        yield gateway.path(phones[first : first + work.recipients], f"[brandmesh] Your code is {first:06d}")


async def _answered(plan: load.GetPlan) -> load.Answered:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", load.__name__), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(json.dumps(asdict(plan)).encode())
    if process.returncode:
        raise LoadError(f"the load ended with code {process.returncode}; what it said stands above")
    return load.Answered(**json.loads(output))
