"""The queries of the IM service: at most 500 accounts each, in a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from txim_rpc.domain import Account
from txim_rpc.tables import imported_account


async def read_imported(connection: AsyncConnection, names: Collection[str]) -> set[str]:
    """Answer which of these are known to be imported."""
    column = imported_account.c.account
    return set((await connection.execute(sa.select(column).where(column.in_(names)))).scalars())


async def record_imported(database: Database, connection: AsyncConnection, accounts: Sequence[Account]) -> None:
    """Write accounts that were imported just now, again with a new nick if need be."""
    await forget(connection, [account.name for account in accounts])
    now_ms = await database.now_ms(connection)
    rows = [{"account": account.name, "nick": account.nick, "imported_at_ms": now_ms} for account in accounts]
    # Another process may have imported one in between.
    await database.insert_ignore(connection, imported_account, rows)


async def forget(connection: AsyncConnection, names: Collection[str]) -> None:
    """Delete accounts that Tencent does not know any more."""
    await connection.execute(sa.delete(imported_account).where(imported_account.c.account.in_(names)))
