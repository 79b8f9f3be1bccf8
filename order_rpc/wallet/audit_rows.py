"""Reading all wallets for the audit: one moment of the database, page by page, while the service works or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, TypeVar

import sqlalchemy as sa

from mesh.database import Database
from order_rpc.wallet.audit import Violation, prove_orders, prove_recharges, prove_wallets
from order_rpc.wallet.recharge_storage import to_recharge
from order_rpc.wallet.storage import to_debit, to_log, to_wallet
from order_rpc.wallet.tables import account, debit, money_log, recharge

PAGE_ROWS = 5_000

Row = TypeVar("Row")


async def audit(database: Database, violations_max: int) -> list[Violation]:
    """Answer what breaks a rule, up to so many: nothing, in sound wallets. Reads every table, locks none."""
    async with database.read() as connection:
        if not database.is_sqlite:
            # All statements see the moment of the first one; on SQLite they do so anyway.
            await connection.execution_options(isolation_level="REPEATABLE READ")
        return await connection.run_sync(lambda sync: list(islice(_prove(sync), violations_max)))


def _prove(connection: sa.Connection) -> Iterator[Violation]:
    def rows(table: sa.Table, read: Callable[[Any], Row], *order: str) -> Iterator[Row]:
        return map(read, _in_order(connection, table, [table.c[name] for name in order]))

    by_wallet = ("user_id", "brand_id")
    by_order = ("order_id", "money_log_type", "request_id")
    return chain(
        prove_wallets(rows(account, to_wallet, *by_wallet), rows(money_log, to_log, *by_wallet, "seq")),
        prove_orders(rows(debit, to_debit, "order_id"), rows(money_log, to_log, *by_order)),
        prove_recharges(rows(recharge, to_recharge, "recharge_id"), rows(money_log, to_log, *by_order)),
    )


def _in_order(connection: sa.Connection, table: sa.Table, order: list[sa.Column[Any]]) -> Iterator[Any]:
    """Read a table from end to end by a unique key, a page at a time."""
    first = sa.select(table).order_by(*order).limit(PAGE_ROWS)
    rows = connection.execute(first).all()
    while rows:
        yield from rows
        last = [getattr(rows[-1], column.name) for column in order]
        # The first is said again by itself: MariaDB finds a range of an index by one column, not by a row of them.
        rows = connection.execute(first.where(order[0] >= last[0], sa.tuple_(*order) > sa.tuple_(*last))).all()
