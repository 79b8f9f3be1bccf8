"""What a failure of a database means to a caller: it is away or busy, or something is wrong with the program."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from mesh import telemetry
from mesh.errors import DomainError

_AWAY_OR_BUSY = (
    "08",  # the connection broke
    "25006",  # it is a standby by now, and takes no writes
    "40",  # deadlocks
    "53",  # no room on the disk, no memory, no free connection
    "55P03",  # a lock was not to be had
    "57",  # it shuts down, starts, or recovers
    "58",  # the system under it fails
)
"""What SQLSTATEs begin with that are no fault of the statement (PostgreSQL, appendix A). SQLite's and MariaDB's drivers
have an OperationalError for the same."""

_CANNOT_CONNECT = 2003
"""MySQL's number for it."""

_ALREADY_THERE = (1050, 1060, 1061)
"""MySQL's numbers for tables, columns and indexes: its driver has them as OperationalError, and no time mends them."""

log = telemetry.logger()


class database_errors:  # noqa: N801  # reads as a function where it is used
    """Turn a failure of the database into UNAVAILABLE; IntegrityError and defects pass as they are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or not _is_unavailable(error):
            return
        # The caller is not told the cause, and the operator must be: it may be a full disk or a missing table.
        log.warning("database unavailable", error=str(getattr(error, "orig", error)))
        raise DomainError(
            grpc.StatusCode.UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
            "the database is busy or away; repeat with the same request_id",
            retry_after_seconds=1,
        ) from error


def _is_unavailable(error: BaseException) -> bool:
    if isinstance(error, IntegrityError) or _number(error) in _ALREADY_THERE:
        return False
    # OSError: nothing is awaited within a transaction but its database.
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError, OSError)):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(_AWAY_OR_BUSY)


def _number(error: BaseException) -> object:
    """Answer what MariaDB and MySQL number an error with; drivers of others begin with something else."""
    arguments = getattr(getattr(error, "orig", None), "args", None)
    return arguments[0] if arguments else None


def translate_failed_connects(engine: sa.Engine) -> None:
    """Have a connection that breaks while it is opened told as the driver tells of others: asyncmy does not always."""

    @event.listens_for(engine, "do_connect")
    def connect(
        dialect: Dialect, _record: object, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> DBAPIConnection:
        try:
            return dialect.connect(*arguments, **named)
        except RuntimeError as error:
            # asyncmy 0.2: "Transport does not expose socket instance", where it is closed by then.
            raise dialect.loaded_dbapi.OperationalError(_CANNOT_CONNECT, str(error)) from error


def tell_of_broken_connections(engine: sa.Engine) -> None:
    """Have the pool's errors about connections that it gives up told as warnings: it opens others in their place."""
    pool = type(engine.pool)
    logging.getLogger(f"{pool.__module__}.{pool.__name__}").addFilter(_tell_of_broken_connection)


def _tell_of_broken_connection(record: logging.LogRecord) -> bool:
    """Answer whether the line stays as it is: a connection that nobody gave back is a defect of ours, for example."""
    if record.exc_info is None or not record.getMessage().startswith("Exception "):
        return True
    log.warning("broken database connection dropped", error=str(record.exc_info[1]))
    return False
