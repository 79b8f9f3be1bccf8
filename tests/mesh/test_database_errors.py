"""Which failures of a database are told as UNAVAILABLE, and how those are told that nobody waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from structlog.testing import capture_logs

from mesh.database import Database
from mesh.database_errors import database_errors
from mesh.errors import DomainError
from mesh.loopback import LOOPBACK
from tests.databases import SERVER_URL, server_database

CONNECTS = 30
"""A broken connection is found in one of several moments."""


class DriverError(Exception):
    """What drivers raise: PostgreSQL's with a SQLSTATE."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    "sqlstate", ["08006", "25006", "40001", "40P01", "53100", "53300", "55P03", "57P01", "57P02", "57P03", "58030"]
)
def test_a_server_that_is_away_or_busy_is_told_as_unavailable(sqlstate: str) -> None:
    with pytest.raises(DomainError, match="DATABASE_UNAVAILABLE"), database_errors():
        raise DBAPIError("SELECT 1", {}, DriverError(sqlstate))


@pytest.mark.parametrize("sqlstate", ["22001", "42P01", "55000", "XX000", ""])
def test_a_defect_is_told_as_it_is(sqlstate: str) -> None:
    with pytest.raises(DBAPIError), database_errors():
        raise DBAPIError("SELECT 40001, 1213", {}, DriverError(sqlstate))


def test_a_broken_rule_of_the_tables_is_told_as_it_is() -> None:
    with pytest.raises(IntegrityError), database_errors():
        raise IntegrityError("INSERT", {}, DriverError("40001"))


def test_time_that_is_up_on_the_way_to_it_is_told_as_unavailable() -> None:
    with pytest.raises(DomainError, match="DATABASE_UNAVAILABLE"), database_errors():
        raise TimeoutError


@pytest_asyncio.fixture
async def rude_port() -> AsyncIterator[int]:
    """Serve a port that takes every connection, and breaks it at once."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, LOOPBACK, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("dialect", ["mysql", "postgresql"])
async def test_a_connection_that_breaks_while_it_is_opened_is_told_as_unavailable(rude_port: int, dialect: str) -> None:
    database = Database(f"{dialect}://nobody@{LOOPBACK}:{rude_port}/nothing")
    for _ in range(CONNECTS):
        with pytest.raises(DomainError, match="DATABASE_UNAVAILABLE"):
            await database.ping()
    await database.close()


@pytest.mark.skipif(not SERVER_URL, reason="is about servers")
async def test_a_connection_that_breaks_after_a_read_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    url = await server_database("mesh")
    database, other = Database(url), Database(url)
    with caplog.at_level(logging.INFO), capture_logs() as lines:
        async with database.read() as connection:
            mine = "pg_backend_pid()" if database.url.get_backend_name() == "postgresql" else "connection_id()"
            number = await connection.scalar(sa.text(f"SELECT {mine}"))
            await _kill(other, number)
    assert [line["log_level"] for line in lines if line["event"] == "broken database connection dropped"] == ["warning"]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    await database.ping()
    await database.close()
    await other.close()


async def _kill(database: Database, number: int) -> None:
    is_postgresql = database.url.get_backend_name() == "postgresql"
    async with database.write() as connection:
        kill = f"SELECT pg_terminate_backend({number})" if is_postgresql else f"KILL {number}"
        await connection.exec_driver_sql(kill)
