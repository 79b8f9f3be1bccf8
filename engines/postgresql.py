"""PostgreSQL from Debian's package, with the durability and isolation it has by itself."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from engines import debian, sql_server
from engines.account import own_directory, unprivileged
from engines.engine import EngineMissingError
from engines.process import Program, ServerProcess, SingleServer, run_to_end
from mesh.loopback import LOOPBACK, free_port


class PostgreSql:
    """PostgreSQL. Its database speaks UTF-8 and sorts by code point, as SQLite does."""

    name = "postgresql"

    def fetch(self) -> None:
        """Install Debian's package."""
        debian.install("postgresql", _find)

    async def start(self, home: Path, port: int = 0) -> SingleServer:
        """Start it with its data in `home`; port 0 takes a free one."""
        binary = _find()
        if binary is None:
            raise EngineMissingError("postgresql is not on this machine: fetch it first")
        user = unprivileged("postgres")
        directory = own_directory(home, user)
        password = sql_server.password_in(directory, user)
        cluster, log_path = directory / "cluster", home / "postgresql.log"
        if not cluster.exists():
            await _make_cluster(Program(_initdb(binary, directory), log_path, user, directory), cluster)
        port = port or free_port()
        program = Program(
            (str(binary), "-D", str(cluster), *_options(port)),
            log_path,
            user,
            directory,
            # SIGTERM would wait until every client has gone by itself.
            stop_signal=signal.SIGINT,
        )
        url = sql_server.server_url("postgresql", port, password, "postgres")
        return SingleServer(await ServerProcess.start(program, sql_server.answers(url)), url)


async def _make_cluster(initdb: Program, cluster: Path) -> None:
    """Make the files of a server that has none; a start that was broken off leaves no half of them as the whole."""
    unfinished = cluster.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    await run_to_end(initdb)
    unfinished.rename(cluster)


def _initdb(binary: Path, directory: Path) -> tuple[str, ...]:
    return (
        str(binary.resolve().with_name("initdb")),
        f"--pgdata={directory / 'unfinished'}",
        f"--username={sql_server.USER}",
        f"--pwfile={directory / 'password'}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    )


def _find() -> Path | None:
    return debian.program("postgres", "/usr/lib/postgresql/*/bin")


def _options(port: int) -> tuple[str, ...]:
    options = {"listen_addresses": LOOPBACK, "port": str(port), "unix_socket_directories": ""}
    return tuple(part for name, value in options.items() for part in ("-c", f"{name}={value}"))
