"""What servers of databases have in common: a user with a password, and databases made on demand."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from engines.account import write_private
from mesh.loopback import LOOPBACK

USER = "brandmesh"
"""Who may make databases on the server."""

_DRIVERS = {"mysql": "mysql+asyncmy", "postgresql": "postgresql+asyncpg"}


def server_url(dialect: str, port: int, password: str, database: str) -> str:
    """Say where a server's database is, with the user who may make others."""
    url = URL.create(dialect, USER, password, LOOPBACK, port, database)
    return url.render_as_string(hide_password=False)


def answers(url: str) -> Callable[[], Awaitable[bool]]:
    """Make the check whether the database at `url` takes statements."""

    async def check() -> bool:
        try:
            await _execute(url, "SELECT 1")
        except (SQLAlchemyError, OSError):
            return False
        return True

    return check


async def create_database(url: str, name: str) -> str:
    """Make an empty database beside the one at `url`, in the place of one of that name; answer its URL."""
    await drop_database(url, name)
    quote = '"' if _is_postgresql(url) else "`"
    await _execute(url, f"CREATE DATABASE {quote}{name}{quote}")
    return database_url(url, name)


async def drop_database(url: str, name: str) -> None:
    """Remove a database beside the one at `url`, if there is one of that name, and whoever is connected to it."""
    if _is_postgresql(url):
        await _execute(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    else:
        # Without the note that there was none, which the driver makes a warning.
        await _execute(url, "SET sql_notes=0", f"DROP DATABASE IF EXISTS `{name}`")


@asynccontextmanager
async def service_databases(url: str, prefix: str, services: Sequence[str]) -> AsyncIterator[str]:
    """Make an empty database a service beside the one at `url`; answer the URL with {service} in it.

    Each is named `prefix`_service. They are removed at the end.
    """
    for service in services:
        await create_database(url, f"{prefix}_{service}")
    try:
        yield database_url(url, f"{prefix}_{{service}}")
    finally:
        for service in services:
            await drop_database(url, f"{prefix}_{service}")


def database_url(url: str, name: str) -> str:
    """Say where a database beside the one at `url` is."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def at_port(url: str, port: int) -> str:
    """Say where the same database is behind another port of loopback."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@{LOOPBACK}:{port}").geturl()


def _is_postgresql(url: str) -> bool:
    return make_url(url).get_backend_name() == "postgresql"


def password_in(directory: Path, user: str | None) -> str:
    """Read the server's password, made at its first start, from `directory`/password."""
    path = directory / "password"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24), user)
    return path.read_text()


async def _execute(url: str, *statements: str) -> None:
    parsed = make_url(url)
    driver = _DRIVERS[parsed.get_backend_name()]
    # Databases are made outside of transactions, which PostgreSQL insists on.
    engine = create_async_engine(parsed.set(drivername=driver), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(sa.text(statement))
    finally:
        await engine.dispose()
