"""Running something again and again: sweeps, expiry, housekeeping."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from prometheus_client import Counter

from mesh import telemetry
from mesh.outage import is_outage
from mesh.waiting import set_within

log = telemetry.logger(part="periodic")

_runs = Counter("brandmesh_periodic_runs", "Runs of periodic jobs", ["job", "outcome"])
_random = secrets.SystemRandom()


class Periodic:
    """Runs `function` about every `every_seconds`, never two at once, until told to stop.

    Each pause is longer or shorter by up to the share `jitter`, so that processes started together drift apart; the
    first run comes within that share of a period. A run that raises is logged and counted, and the next one comes as
    usual.
    """

    def __init__(
        self, job: str, function: Callable[[], Awaitable[object]], every_seconds: float, jitter: float = 0.1
    ) -> None:
        self._job = job
        self._function = function
        self._every_seconds = every_seconds
        self._jitter = jitter

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. A run under way is finished, so the caller bounds how long it waits for this."""
        pause = _random.uniform(0, self._jitter) * self._every_seconds
        while not await set_within(stop, pause):
            await self._run_once()
            pause = _random.uniform(1 - self._jitter, 1 + self._jitter) * self._every_seconds

    async def _run_once(self) -> None:
        with telemetry.from_headers({}):
            try:
                await self._function()
            except Exception as error:
                _runs.labels(self._job, "failed").inc()
                if is_outage(error):
                    log.warning("periodic job postponed", job=self._job, error=str(error))
                else:
                    log.exception("periodic job failed", job=self._job)
            else:
                _runs.labels(self._job, "done").inc()
