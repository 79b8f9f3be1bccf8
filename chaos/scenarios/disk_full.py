"""The disk under a service's SQLite file is full for a while: every write that would let a file grow fails.

The means is the limit on the size of files that a process may write (RLIMIT_FSIZE), set on the running process from
outside. SQLite's own write(2) then fails in the middle of a transaction, with EFBIG and not ENOSPC; SQLite reports an
I/O error, and what follows, the end of the transaction by rollback, is the same. It needs neither root nor a volume.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from chaos.ground import Engines
from chaos.plan import Step, moments
from chaos.scenario import Scenario
from chaos.site import Site

SERVICES = ("costcenter", "sms", "order", "messagecenter", "txim")

_EVERY_SECONDS = 4.0
_LAST_SECONDS = (1.0, 4.0)
_LOG_BYTES = 1 << 16
"""The log is a file too, and not what is tried here: it has this much room left."""


def draw(random: Random, seconds: float) -> Iterator[Step]:
    """Fill one service's disk after the other, the ledger's most often."""
    for at_seconds in moments(random, seconds, _EVERY_SECONDS):
        service = random.choice(("costcenter", "sms", *SERVICES))
        yield Step(at_seconds, "fill", {"service": service, "seconds": round(random.uniform(*_LAST_SECONDS), 2)})


async def fill(site: Site, service: str, seconds: float) -> None:
    """Let no file of a service grow for some seconds."""
    async with site.lock(service):
        pid, log = site.pid(service), site.mesh.supervisor.log_directory / f"{service}.log"
        size = await asyncio.to_thread(_size, log)
        site.timeline.note(f"the disk of {service} is full")
        unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + _LOG_BYTES, resource.RLIM_INFINITY))
        try:
            await asyncio.sleep(seconds)
        finally:
            # The process may have ended meanwhile; the audit tells that.
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
            site.timeline.note(f"the disk of {service} has room")


def _size(path: Path) -> int:
    return path.stat().st_size


SCENARIO = Scenario(
    "disk-full",
    "no file of a service can grow for a while, its SQLite database and log of transactions among them",
    {"fill": fill},
    draw,
    engines=frozenset({Engines.SQLITE}),
)
