"""Many rows in one statement, in the way in which each database takes them fastest.

SQLite runs a prepared statement within this process, again and again: an INSERT for so many rows at a time, and an
UPDATE for each row. PostgreSQL gets one array a column and one statement. MariaDB and MySQL get one INSERT with many
VALUES, which the driver puts together, and an UPDATE that is joined with one JSON parameter, because the driver would
send an UPDATE a row.

Rows are tuples in the order of the names, and go to the driver as they are: their values have to be of types that
drivers take, which are whole numbers, texts, and truth values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

Names = tuple[str, ...]
BulkRow = tuple[Any, ...]

_KEY_PREFIX = "key_"
"""Tells a column by which a row is found from the same column that is set."""

_ROWS_TOGETHER = 32
"""Rows of one INSERT on SQLite: to begin and end a statement takes as long as to insert a row. More gain little."""

_STATEMENTS_MAX = 500


async def insert_rows(connection: AsyncConnection, table: sa.Table, columns: Names, rows: Sequence[BulkRow]) -> None:
    """Insert rows, each the values of `columns`. Raises IntegrityError where a key is there already."""
    if not rows:
        return
    dialect = connection.dialect
    if _takes_arrays(dialect):
        await connection.exec_driver_sql(_insert(table, columns, dialect), _arrays(rows))
        return
    together = len(rows) - len(rows) % _ROWS_TOGETHER if dialect.name == "sqlite" else 0
    if together:
        parts = [tuple(chain.from_iterable(part)) for part in _parts(rows[:together])]
        await connection.exec_driver_sql(_insert(table, columns, dialect, _ROWS_TOGETHER), parts)
    if together < len(rows):
        await connection.exec_driver_sql(_insert(table, columns, dialect), list(rows[together:]))


async def update_rows(
    connection: AsyncConnection, table: sa.Table, columns: Names, key: Names, rows: Sequence[BulkRow]
) -> int:
    """Set `columns` of the rows that are found by `key`; answer how many were found.

    The key is the primary key, or begins with it. Each of `rows` is the values of the columns and then those of the
    key, of which none may come twice. A column may be set and be part of the key: it is found by what it was.
    """
    if not rows:
        return 0
    dialect = connection.dialect
    parameters: Any = list(rows)
    if _takes_arrays(dialect):
        parameters = _arrays(rows)
    elif _takes_json(dialect):
        parameters = (json.dumps(rows, separators=(",", ":")),)
    return (await connection.exec_driver_sql(_update(table, columns, key, dialect), parameters)).rowcount


async def update_locked_rows(
    connection: AsyncConnection, table: sa.Table, columns: Names, key: Names, rows: Sequence[BulkRow]
) -> None:
    """Do the same with rows that were read under a lock. Raises AssertionError when one is not as it was read."""
    found = await update_rows(connection, table, columns, key, rows)
    if found != len(rows):
        raise AssertionError(f"{found} of {len(rows)} rows of {table.name} were as they were read")


def _takes_arrays(dialect: Dialect) -> bool:
    return dialect.name == "postgresql"


def _takes_json(dialect: Dialect) -> bool:
    return dialect.name in {"mysql", "mariadb"}


def _arrays(rows: Sequence[BulkRow]) -> tuple[list[Any], ...]:
    """One list a column."""
    return tuple(map(list, zip(*rows, strict=True)))


def _parts(rows: Sequence[BulkRow]) -> Iterator[Sequence[BulkRow]]:
    return (rows[start : start + _ROWS_TOGETHER] for start in range(0, len(rows), _ROWS_TOGETHER))


@lru_cache(maxsize=_STATEMENTS_MAX)
def _insert(table: sa.Table, columns: Names, dialect: Dialect, rows: int = 1) -> str:
    quote = dialect.identifier_preparer.quote
    into = f"INSERT INTO {quote(table.name)} ({', '.join(map(quote, columns))})"
    if _takes_arrays(dialect):
        return f"{into} SELECT * FROM {_unnest(table, columns, dialect)}"  # noqa: S608  # names of tables
    mark = "?" if dialect.name == "sqlite" else "%s"
    # Nothing but marks: a literal among them would keep the driver from making one statement of them.
    one = f"({', '.join([mark] * len(columns))})"
    return f"{into} VALUES {', '.join([one] * rows)}"


@lru_cache(maxsize=_STATEMENTS_MAX)
def _update(table: sa.Table, columns: Names, key: Names, dialect: Dialect) -> str:
    quote = dialect.identifier_preparer.quote
    target = quote(table.name)
    if dialect.name == "sqlite":
        assigned = ", ".join(f"{quote(name)} = ?" for name in columns)
        return f"UPDATE {target} SET {assigned} WHERE {' AND '.join(f'{quote(name)} = ?' for name in key)}"  # noqa: S608  # names of tables
    new_names = ", ".join(quote(name) for name in _names(columns, key))
    found = " AND ".join(f"{target}.{quote(name)} = new.{quote(_KEY_PREFIX + name)}" for name in key)
    if _takes_arrays(dialect):
        assigned = ", ".join(f"{quote(name)} = new.{quote(name)}" for name in columns)
        new = f"{_unnest(table, (*columns, *key), dialect)} AS new ({new_names})"
        return f"UPDATE {target} SET {assigned} FROM {new} WHERE {found}"  # noqa: S608  # names of tables
    assigned = ", ".join(f"{target}.{quote(name)} = new.{quote(name)}" for name in columns)
    new = f"{_json_table(table, columns, key, dialect)} AS new"
    # By the primary key whatever the statistics say: reading a table from end to end waits for everybody's locks.
    return f"UPDATE {new} STRAIGHT_JOIN {target} FORCE INDEX (PRIMARY) ON {found} SET {assigned}"  # noqa: S608  # names of tables


def _names(columns: Names, key: Names) -> Names:
    return (*columns, *(_KEY_PREFIX + name for name in key))


def _unnest(table: sa.Table, columns: Names, dialect: Dialect) -> str:
    arrays = [f"${number}::{_type(table, name, dialect)}[]" for number, name in enumerate(columns, start=1)]
    return f"unnest({', '.join(arrays)})"


def _json_table(table: sa.Table, columns: Names, key: Names, dialect: Dialect) -> str:
    quote = dialect.identifier_preparer.quote
    types = [_type(table, name, dialect) for name in (*columns, *key)]
    parts = [
        f"{quote(name)} {type_} PATH '$[{place}]'"
        for place, (name, type_) in enumerate(zip(_names(columns, key), types, strict=True))
    ]
    return f"JSON_TABLE(%s, '$[*]' COLUMNS ({', '.join(parts)}))"


def _type(table: sa.Table, column: str, dialect: Dialect) -> str:
    return table.c[column].type.compile(dialect)
