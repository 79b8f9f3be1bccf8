"""MariaDB from Debian's package, with the durability it has by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from engines import debian, sql_server
from engines.account import own_directory, unprivileged, write_private
from engines.engine import EngineMissingError
from engines.process import Program, ServerProcess, SingleServer, run_to_end
from engines.sql_server import USER
from mesh.loopback import LOOPBACK, free_port


class MariaDb:
    """MariaDB with Debian's character set, utf8mb4."""

    name = "mariadb"

    def fetch(self) -> None:
        """Install Debian's package."""
        debian.install("mariadb-server", _find)

    async def start(self, home: Path, port: int = 0) -> SingleServer:
        """Start it with its data in `home`; port 0 takes a free one."""
        binary = _find()
        if binary is None:
            raise EngineMissingError("mariadb is not on this machine: fetch it first")
        user = unprivileged("mysql")
        directory = own_directory(home, user)
        password = sql_server.password_in(directory, user)
        write_private(directory / "init.sql", _first_statements(password), user)
        tables, log_path = directory / "tables", home / "mariadb.log"
        if not tables.exists():
            await _make_tables(Program(_install_db(directory), log_path, user, directory), tables)
        port = port or free_port()
        program = Program((str(binary), *_options(tables, port)), log_path, user, directory)
        url = sql_server.server_url("mysql", port, password, USER)
        return SingleServer(await ServerProcess.start(program, sql_server.answers(url)), url)


async def _make_tables(install_db: Program, tables: Path) -> None:
    """Make the files of a server that has none; a start that was broken off leaves no half of them as the whole."""
    unfinished = tables.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    await run_to_end(install_db)
    unfinished.rename(tables)


def _find() -> Path | None:
    return debian.program("mariadbd")


def _install_db(directory: Path) -> tuple[str, ...]:
    return (
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={directory / 'unfinished'}",
        _temporary_files(directory),
        "--auth-root-authentication-method=socket",
        "--skip-test-db",
    )


def _options(tables: Path, port: int) -> tuple[str, ...]:
    return (
        "--no-defaults",
        f"--datadir={tables}",
        _temporary_files(tables.parent),
        f"--init-file={tables.with_name('init.sql')}",
        f"--bind-address={LOOPBACK}",
        f"--port={port}",
        # Within the data directory: the path of a socket has a limit that a checkout's may exceed.
        "--socket=mariadb.sock",
        "--character-set-server=utf8mb4",
    )


def _temporary_files(directory: Path) -> str:
    # A server that starts removes the temporary tables of any other in the same place.
    return f"--tmpdir={directory}"


def _first_statements(password: str) -> str:
    """What the server does at each start before it takes connections."""
    account = f"{USER}@'{LOOPBACK}'"
    statements = (
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{password}'",
        f"GRANT ALL ON *.* TO {account}",
        f"CREATE DATABASE IF NOT EXISTS {USER}",
    )
    return "".join(f"{statement};\n" for statement in statements)
