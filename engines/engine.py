"""What an engine is: a kind of server that this machine can be made to have, and can run below a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class EngineMissingError(Exception):
    """This machine does not have the engine and cannot get it.

    Its text is one line for people: what is missing, why it could not be had, and what to do.
    """


class Server(Protocol):
    """A server that runs. It ends when the process that started it does, however that ends."""

    @property
    def url(self) -> str:
        """Where clients connect."""

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that were started, for those who measure them."""

    async def stop(self) -> None:
        """End it in order, with everything it holds on the disk."""

    async def kill(self) -> None:
        """End it by SIGKILL, as a crash would. `Engine.start` on the same directory goes on with what it had."""


class Engine(Protocol):
    """A kind of server."""

    @property
    def name(self) -> str:
        """What it is called on the command line, and below var/engines/."""

    def fetch(self) -> None:
        """Install or build it, where that was not done before. Raises EngineMissingError."""

    async def start(self, home: Path) -> Server:
        """Start it on a free port of loopback and wait until it answers.

        Everything it keeps is below `home`, which is made if it is not there; a second start goes on with it.
        Raises EngineMissingError before `fetch`, and ServerFailedError with the end of the server's log when it ends
        or does not answer in time.
        """
