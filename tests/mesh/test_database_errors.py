"""Which failures of a database are told as UNAVAILABLE, and how those are told that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from mesh.database import Database
from mesh.database_errors import database_errors, tell_of_broken_connections
from mesh.errors import DomainError
from mesh.loopback import LOOPBACK

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


@pytest.mark.parametrize("number", [1050, 1060, 1061])
def test_a_table_that_is_there_already_is_told_as_it_is(number: int) -> None:
    with pytest.raises(OperationalError), database_errors():
        raise OperationalError("CREATE", {}, Exception(number, "it already exists"))


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


async def test_a_broken_connection_that_the_pool_replaces_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    engine = create_async_engine("mysql+asyncmy://nobody@nowhere/nothing").sync_engine
    tell_of_broken_connections(engine)
    lost = OperationalError("ROLLBACK", {}, DriverError("08006"))
    with capture_logs() as lines:
        engine.pool.logger.error("Exception during reset or similar", exc_info=lost)
        engine.pool.logger.error("The garbage collector is trying to clean up non-checked-in connection")
    assert [(line["log_level"], line["event"]) for line in lines] == [("warning", "broken database connection dropped")]
    assert [record.levelname for record in caplog.records] == ["ERROR"], (
        "what a program forgot to give back is no outage"
    )
