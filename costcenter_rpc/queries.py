"""What is asked of the ledger beside its operations. Every function takes a connection that the caller opened."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from costcenter_rpc import tables
from costcenter_rpc.domain import Account, Answer, Entry, EntryKind, Freeze, FreezeState, Lot
from costcenter_rpc.rows import LOT_FIELDS, to_account, to_freeze, to_lot, to_payment, to_remembered
from costcenter_rpc.statements import ACCOUNTS, FREEZES, PAYMENTS, REQUESTS
from mesh.statements import read_in


async def read_account(connection: AsyncConnection, brand_id: int) -> Account | None:
    """Read one balance without a lock."""
    rows = await read_in(connection, ACCOUNTS, [brand_id])
    return to_account(rows[0]) if rows else None


async def read_freeze(connection: AsyncConnection, brand_id: int, freeze_id: str) -> Freeze | None:
    """Read one freeze of a brand."""
    rows = await read_in(connection, FREEZES, [freeze_id])
    freeze = to_freeze(rows[0]) if rows else None
    return freeze if freeze and freeze.brand_id == brand_id else None


async def list_lots(
    connection: AsyncConnection, brand_id: int, *, after: tuple[int, int], limit: int, show_exhausted: bool
) -> list[Lot]:
    """Read lots in the order of consumption, after `(expires_at_ms, seq)`."""
    table = tables.lot
    position = sa.or_(
        table.c.expires_at_ms > after[0], sa.and_(table.c.expires_at_ms == after[0], table.c.seq > after[1])
    )
    statement = sa.select(*(table.c[name] for name in LOT_FIELDS)).where(table.c.brand_id == brand_id, position)
    if not show_exhausted:
        statement = statement.where(table.c.is_open)
    rows = await connection.execute(statement.order_by(table.c.expires_at_ms, table.c.seq).limit(limit))
    return [to_lot(row) for row in rows]


async def list_entries(connection: AsyncConnection, brand_id: int, *, after_seq: int, limit: int) -> list[Entry]:
    """Read the statement after an entry."""
    table = tables.entry
    statement = (
        sa.select(table).where(table.c.brand_id == brand_id, table.c.seq > after_seq).order_by(table.c.seq).limit(limit)
    )
    return [Entry(**{**row._mapping, "kind": EntryKind(row.kind)}) for row in await connection.execute(statement)]  # noqa: SLF001  # SQLAlchemy's public name


async def brands_with_due_lots(
    connection: AsyncConnection, *, now_ms: int, limit: int, brand_id: int | None = None
) -> list[int]:
    """Name brands with an expired lot that is not written off and that no open freeze stands on."""
    lot, account = tables.lot, tables.account
    statement = (
        sa.select(lot.c.brand_id)
        .distinct()
        .join_from(lot, account, lot.c.brand_id == account.c.brand_id)
        .where(lot.c.is_open, lot.c.expires_at_ms <= now_ms, account.c.available > 0)
        .limit(limit)
    )
    if brand_id is not None:
        statement = statement.where(lot.c.brand_id == brand_id)
    return list((await connection.execute(statement)).scalars())


async def due_freezes(connection: AsyncConnection, *, now_ms: int, limit: int) -> list[tuple[int, str]]:
    """Name open freezes past their time as (brand_id, freeze_id), the oldest first."""
    table = tables.freeze
    statement = (
        sa.select(table.c.brand_id, table.c.freeze_id)
        .where(table.c.state == FreezeState.FROZEN.value, table.c.expires_at_ms <= now_ms)
        # Of one brand's ids the shorter is the older: they end in the number of an entry.
        .order_by(table.c.expires_at_ms, sa.func.length(table.c.freeze_id), table.c.freeze_id)
        .limit(limit)
    )
    return [(row.brand_id, row.freeze_id) for row in await connection.execute(statement)]


async def existing_brands(connection: AsyncConnection, brand_ids: Collection[int]) -> set[int]:
    """Answer those of the brands that have an account."""
    column = tables.account.c.brand_id
    return set((await connection.execute(sa.select(column).where(column.in_(brand_ids)))).scalars())


async def existing_payments(connection: AsyncConnection, payment_ids: Collection[str]) -> set[tuple[int, str]]:
    """Answer those of the payments that exist, as (brand_id, payment_id)."""
    payments = list(map(to_payment, await read_in(connection, PAYMENTS, payment_ids)))
    return {(payment.brand_id, payment.payment_id) for payment in payments}


async def freeze_states(connection: AsyncConnection, prepay_keys: Collection[str]) -> dict[str, FreezeState]:
    """Answer the states of the freezes that these requests made."""
    requests = list(map(to_remembered, await read_in(connection, REQUESTS, prepay_keys)))
    freeze_of = {one.key: one.outcome.object_id for one in requests if isinstance(one.outcome, Answer)}
    freezes = list(map(to_freeze, await read_in(connection, FREEZES, freeze_of.values())))
    states = {freeze.freeze_id: freeze.state for freeze in freezes}
    return {key: states[freeze_id] for key, freeze_id in freeze_of.items()}
