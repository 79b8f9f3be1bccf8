"""Running statements that were put together once: to make one anew takes longer than SQLite takes to run it.

SQLAlchemy looks at every parameter of every row by itself. Where many rows are written, the statement is compiled here
once for each dialect, and its rows go to the driver as tuples in the order of its placeholders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

IN_MAX = 500
"""Values in one IN list: well below what any of the databases takes."""

PAIRS_MAX = 128
"""Pairs in one statement: SQLite takes conditions up to a depth of 1,000."""

Value = TypeVar("Value", int, str)
Row = Mapping[str, Any]
Change = sa.Update | sa.Delete

_STATEMENTS_MAX = 500


def select_in(table: sa.Table, column: str, names: Sequence[str] = ()) -> sa.Select[Any]:
    """Select the rows whose `column` is one of `wanted`, for `read_in`: the columns of `names`, or all."""
    selected = [table.c[name] for name in names] if names else [table]
    statement = sa.select(*selected).where(table.c[column].in_(sa.bindparam("wanted", expanding=True)))
    return by_primary_key(statement, table) if table.c[column] is next(iter(table.primary_key)) else statement


def by_primary_key(statement: sa.Select[Any], table: sa.Table) -> sa.Select[Any]:
    """Have rows be found by their primary key however few there are.

    MariaDB and MySQL read a small table from end to end, and where rows are locked, wait for those that others hold.
    """
    for dialect in ("mariadb", "mysql"):
        statement = statement.with_hint(table, "FORCE INDEX (PRIMARY)", dialect)
    return statement


def in_lists(values: Iterable[Value]) -> Iterator[list[Value]]:
    """Cut values into IN lists, each value once, in their order: no two transactions then wait for each other."""
    wanted = sorted(set(values))
    for start in range(0, len(wanted), IN_MAX):
        yield wanted[start : start + IN_MAX]


async def read_in(
    connection: AsyncConnection, statement: sa.Select[Any], values: Iterable[Any], **further: object
) -> list[sa.Row[Any]]:
    """Read the rows of a `select_in`, by IN lists of bounded length in the order of their values."""
    rows: list[sa.Row[Any]] = []
    for wanted in in_lists(values):
        rows += await connection.execute(statement, {**further, "wanted": wanted})
    return rows


async def read_pairs(
    connection: AsyncConnection, table: sa.Table, columns: tuple[str, str], pairs: Iterable[tuple[Any, Any]]
) -> list[sa.Row[Any]]:
    """Read the rows whose two `columns`, on which there is an index, hold one of `pairs`.

    Few statements, whether there are a thousand second values to one first value, or one to each of a thousand.
    """
    wanted = sorted(set(pairs))
    if not wanted:
        return []
    if wanted[0][0] == wanted[-1][0]:
        seconds = [second for _, second in wanted]
        return await read_in(connection, _select_of_one(table, columns), seconds, first=wanted[0][0])
    rows: list[sa.Row[Any]] = []
    for start in range(0, len(wanted), PAIRS_MAX):
        part = wanted[start : start + PAIRS_MAX]
        # A power of two, so that there are few statements to make; what is lacking is the last pair once more.
        size = 1 << (len(part) - 1).bit_length()
        part += part[-1:] * (size - len(part))
        values: dict[str, Any] = {}
        for place, (first, second) in enumerate(part):
            values[f"first_{place}"], values[f"second_{place}"] = first, second
        rows += await connection.execute(_select_pairs(table, columns, size), values)
    return rows


@lru_cache(maxsize=_STATEMENTS_MAX)
def _select_of_one(table: sa.Table, columns: tuple[str, str]) -> sa.Select[Any]:
    first, second = columns
    return select_in(table, second).where(table.c[first] == sa.bindparam("first"))


@lru_cache(maxsize=_STATEMENTS_MAX)
def _select_pairs(table: sa.Table, columns: tuple[str, str], size: int) -> sa.Select[Any]:
    """Ask for each pair by itself: for a list of pairs, SQLite would read the whole table."""
    first, second = (table.c[column] for column in columns)
    pairs = [
        sa.and_(first == sa.bindparam(f"first_{place}"), second == sa.bindparam(f"second_{place}"))
        for place in range(size)
    ]
    return sa.select(table).where(sa.or_(*pairs))


async def execute_many(connection: AsyncConnection, statement: Change, rows: Sequence[Row]) -> CursorResult[Any]:
    """Run a statement for each of `rows`, of which there is one at least and all have the same names.

    The statement has to live as long as the process, for what was compiled is kept by its identity. Values have to be
    of types that drivers take as they are: whole numbers, texts, truth values.
    """
    compiled = _compile(statement, connection.dialect, tuple(rows[0]))
    return await connection.exec_driver_sql(compiled.text, [compiled.read(row) for row in rows])


class _Compiled(NamedTuple):
    text: str
    read: Callable[[Row], tuple[Any, ...]]
    """Puts the values of a row, and those that the statement itself has, in the order of the placeholders."""


@lru_cache(maxsize=_STATEMENTS_MAX)
def _compile(statement: Change, dialect: Dialect, names: tuple[str, ...]) -> _Compiled:
    compiled: Any = statement.compile(dialect=dialect)
    places = compiled.positiontup
    own = {name: value for name, value in compiled.params.items() if name not in names}
    pick = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
    return _Compiled(str(compiled), (lambda row: pick({**own, **row})) if own else pick)
