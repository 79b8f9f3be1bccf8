"""What is measured of every system alike, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Figure, ratios
from bench.peers.gateway import SETTLED

PERCENTILES = {"accept p50": 50.0, "accept p99": 99.0}
_RATE, _LATENCY, _COST = "messages/s", "ms", "us CPU/message"


@dataclass(frozen=True, slots=True)
class Work:
    """So many messages, each to another phone, over so many connections, so many phones a request."""

    messages: int
    connections: int
    recipients: int = 1

    @property
    def name(self) -> str:
        """What the table calls it."""
        if self.recipients > 1:
            return f"batch of {self.messages:,}"
        return f"{self.connections} connection{'s' if self.connections > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement."""

    rates: dict[str, float]
    """Messages a second since the first request, by how far they have come: ACCEPTED, SUBMITTED, SETTLED."""
    latencies_ms: dict[str, float]
    """From a request to its answer, by the names of PERCENTILES; empty where all is one request."""
    cost_us: float
    """Processor time a message, of the system's own processes: neither the load nor the provider's stand-in."""


Results = Mapping[Work, Result]
"""Those of one run of a system."""


def figures_of(system: str, runs: Sequence[Results]) -> Iterator[Figure]:
    """Tell what a system did, work by work."""
    for work in runs[0]:
        row, of_work = f"{system}, {work.name}", [run[work] for run in runs]
        for name in of_work[0].rates:
            yield Figure(row, name, _RATE, tuple(one.rates[name] for one in of_work))
        for name in of_work[0].latencies_ms:
            yield Figure(row, name, _LATENCY, tuple(one.latencies_ms[name] for one in of_work))
        yield Figure(row, "cost", _COST, tuple(one.cost_us for one in of_work))


def ratios_to(peer: str, ours: Sequence[Results], theirs: Sequence[Results], end: str) -> Iterator[Figure]:
    """Divide our rates by a peer's, both as far as the peer brings a message, else as far as we were measured.

    Where a peer has no receipts and our submissions were not timed, our settled messages stand beside its submitted.
    """
    for work in theirs[0]:
        our_end = end if end in ours[0][work].rates else SETTLED
        above = Figure("", our_end, _RATE, tuple(run[work].rates[our_end] for run in ours))
        below = Figure("", end, _RATE, tuple(run[work].rates[end] for run in theirs))
        yield ratios(f"brandmesh : {peer}, {work.name}", f"{our_end} : {end}", above, below)
