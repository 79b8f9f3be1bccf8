"""One run of a gateway: requests by a load process, and the time when the last message has come as far as they come."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from bench.figures import percentile
from bench.http_load import LoadError
from bench.peers import load
from bench.peers.gateway import Gateway
from bench.processes import cpu_seconds, cpu_us_per_message

SETTLED_SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Work:
    """So many messages, each to another phone, over so many connections, so many phones a request."""

    messages: int
    connections: int
    recipients: int = 1

    @property
    def name(self) -> str:
        """What the table calls it."""
        batch = f", {self.recipients} recipients a request" if self.recipients > 1 else ""
        return f"{self.connections} connection{'s' if self.connections > 1 else ''}{batch}"


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement. Rates are messages a second; the cost is processor time of the gateway's own processes."""

    accepted: float
    settled: float
    p50_ms: float
    p99_ms: float
    cost_us: float


async def run(gateway: Gateway, work: Work) -> Result:
    """Send everything, and wait until the last message is settled. Raises LoadError, TimeoutError."""
    await gateway.settling.expect(work.messages)
    processes = {"gateway": gateway.pids}
    before = cpu_seconds(processes)
    answered = await _answered(load.GetPlan(gateway.port, work.connections, list(paths(gateway, work))))
    settled_at = await gateway.settling.complete(SETTLED_SECONDS_MAX)
    return Result(
        accepted=work.messages / (answered.ended_at - answered.began_at),
        settled=work.messages / (settled_at - answered.began_at),
        p50_ms=percentile(answered.latencies_ms, 50),
        p99_ms=percentile(answered.latencies_ms, 99),
        cost_us=cpu_us_per_message(before, cpu_seconds(processes), work.messages)["gateway"],
    )


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
