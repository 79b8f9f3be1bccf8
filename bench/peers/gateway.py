"""What a peer is while it runs: where to send, what a request looks like, and how to know that a message is through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ACCEPTED, SUBMITTED, SETTLED = "accepted", "submitted", "settled"
"""How far a message has come: the request is answered, the provider has it, its receipt is known."""


class Settling(Protocol):
    """Knows when the messages of a run have come as far as they come."""

    async def expect(self, count: int) -> None:
        """Begin to count anew, before the run."""

    async def complete(self, seconds_max: float) -> float:
        """Wait for all that are expected; answer the Unix time when the last came. Raises TimeoutError."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs."""

    port: int
    path: Callable[[Sequence[str], str], str]
    """Renders a request for one text to some phones, as path and query."""
    settling: Settling
    pids: tuple[int, ...]
    """Its own processes, which may have children; neither the SMSC nor what receives its calls."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway that this machine can be made to have."""

    name: str
    end: str
    """How far a message comes that is counted: SETTLED, or SUBMITTED where there are no receipts."""
    recipients_max: int
    """How many phones one request takes here; 1: no batch is measured."""
    fetch: Callable[[Path], None]
    """Install it; what is not a package of the system goes below the directory. Raises EngineMissingError."""
    run: Callable[[Path, Path], AbstractAsyncContextManager[Gateway]]
    """Run what was fetched into the first directory, with its state in the second, an empty one.

    Raises EngineMissingError before `fetch`, and ServerFailedError.
    """
