"""A record table as it is after ten million messages, filled by the database itself in a minute or a few."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.database import Database
from sms_rpc.domain import RecordStatus
from sms_rpc.tables import record

RECORDS = 10_000_000
FIRST_PHONE = 13_800_000_000
"""Record number n went to this phone plus n."""

_CHUNK = 100_000
"""Rows in one transaction: services write beside it, and wait for a lock for three seconds at most."""

_BEGAN_AT_MS = 1_700_000_000_000
_SPACING_MS = 100

_ANALYZE = {"postgresql": "ANALYZE record", "mysql": "ANALYZE TABLE record"}
"""What the servers do by themselves some time after so many rows were added. SQLite never does."""


async def fill(url: str, first_brand_id: int, brands: int, records: int = RECORDS) -> None:
    """Add delivered messages of the brands in turn, older than any that the service adds, to the database at `url`."""
    database = Database(url)
    dialect = database.url.get_backend_name()
    try:
        for first in range(1, records + 1, _CHUNK):
            last = min(first + _CHUNK - 1, records)
            async with database.write() as connection:
                await connection.execute(_insert(dialect, first, last, first_brand_id, brands))
        if dialect in _ANALYZE:
            async with database.write() as connection:
                await connection.execute(sa.text(_ANALYZE[dialect]))
    finally:
        await database.close()


def _insert(dialect: str, first: int, last: int, first_brand_id: int, brands: int) -> sa.Insert:
    """Insert the records numbered `first` to `last`, their numbers being their ids."""
    number: sa.ColumnElement[int] = sa.literal_column("number", sa.BigInteger)
    at_ms = _BEGAN_AT_MS + number * _SPACING_MS
    values: dict[str, sa.ColumnElement[object] | object] = {
        "record_id": number,
        "task_id": number,
        "brand_id": first_brand_id + number % brands,
        "phone": sa.literal_column("'+86'") + sa.cast(FIRST_PHONE + number, sa.String(13)),
        "segments": 1,
        "status": RecordStatus.DELIVERED.value,
        **dict.fromkeys(("accepted_at_ms", "queued_at_ms", "charged_at_ms", "submitted_at_ms"), at_ms),
        "unknown_at_ms": 0,
        "settled_at_ms": at_ms + _SPACING_MS,
        "provider_message_id": sa.cast(number, sa.String(20)),
        "payment_id": sa.cast(number, sa.String(20)),
        **dict.fromkeys(("params", "failure_reason", "provider_code"), ""),
    }
    selected = sa.select(*(_column(value) for value in values.values())).select_from(_numbers(dialect, first, last))
    return sa.insert(record).from_select(list(values), selected)


def _column(value: object) -> sa.ColumnElement[object]:
    return value if isinstance(value, sa.ColumnElement) else sa.literal(value)


def _numbers(dialect: str, first: int, last: int) -> sa.TextClause:
    """Name the table of whole numbers that each database has."""
    match dialect:
        case "postgresql":
            return sa.text(f"generate_series({first}::bigint, {last}::bigint) AS numbers (number)")
        case "sqlite":
            rows = f"VALUES ({first}) UNION ALL SELECT number + 1 FROM numbers WHERE number < {last}"  # noqa: S608  # ours
            return sa.text(f"(WITH RECURSIVE numbers (number) AS ({rows}) SELECT * FROM numbers)")  # noqa: S608  # ours
        case _:
            # MariaDB's own; numbers are made as they are read.
            return sa.text(f"(SELECT seq AS number FROM seq_{first}_to_{last}) AS numbers")  # noqa: S608  # ours
