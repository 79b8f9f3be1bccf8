"""RabbitMQ from Debian's package: the broker that Jasmin keeps its queues in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers.servers import running
from engines import debian
from engines.engine import EngineMissingError
from engines.process import Program
from mesh.loopback import LOOPBACK, free_port, listens

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's own rabbitmq-server in the path changes to another user, who has no access to our directories."""


@dataclass(frozen=True, slots=True)
class RabbitMq:
    """A broker that runs."""

    port: int
    pids: tuple[int, ...]


def fetch() -> None:
    """Install Debian's package. Raises EngineMissingError."""
    debian.install("rabbitmq-server", _server)


@asynccontextmanager
async def running_rabbitmq(home: Path) -> AsyncIterator[RabbitMq]:
    """Run a broker of one node with its state in `home`, a new directory, and the port mapper that Erlang needs.

    The port mapper is a process of ours: the one that RabbitMQ would start by itself stays behind when it ends.
    """
    if _server() is None:
        raise EngineMissingError("rabbitmq-server is not on this machine: fetch it first")
    mapper_port, port = free_port(), free_port()
    mapper = Program(("epmd", "-address", LOOPBACK, "-port", str(mapper_port)), home / "epmd.log")
    await asyncio.to_thread(_write_settings, home, port)
    server = Program((str(_SERVER),), home / "rabbitmq.log", environment=_environment(home, mapper_port))
    async with (
        running(mapper, lambda: listens(mapper_port)),
        running(server, lambda: listens(port)) as process,
    ):
        yield RabbitMq(port, (process.pid,))


def _write_settings(home: Path, port: int) -> None:
    home.mkdir()
    (home / "rabbitmq.conf").write_text(f"listeners.tcp.local = {LOOPBACK}:{port}\nlog.console.level = warning\n")
    # Nothing but what this program says decides how the node runs.
    (home / "enabled_plugins").write_text("[].\n")
    (home / "rabbitmq-env.conf").write_text("")


def _environment(home: Path, mapper_port: int) -> dict[str, str]:
    return {
        "HOME": str(home),
        "ERL_EPMD_PORT": str(mapper_port),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def _server() -> Path | None:
    return _SERVER if _SERVER.exists() else None
