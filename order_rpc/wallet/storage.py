"""The queries of the wallet service. Every function takes a connection whose transaction the caller opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.bulk_rows import insert_rows, update_locked_rows
from mesh.database import Database
from mesh.statements import read_in, select_in
from order_rpc.wallet.book import Book
from order_rpc.wallet.domain import (
    CreditCoins,
    Debit,
    DebitState,
    LogName,
    MoneyLog,
    MoneyLogType,
    Operation,
    RefundCoins,
    TakeCoins,
    Wallet,
    WalletKey,
)
from order_rpc.wallet.tables import account, debit, money_log

DEBIT_COLUMNS = tuple(Debit.__slots__)
LOG_COLUMNS = tuple(MoneyLog.__slots__)

_debit_row = attrgetter(*DEBIT_COLUMNS)
_log_row = attrgetter(*LOG_COLUMNS)

_WALLETS_TO_CHANGE = select_in(account, "user_id").order_by(account.c.user_id, account.c.brand_id).with_for_update()
_DEBITS = select_in(debit, "order_id").order_by(debit.c.order_id)
_DEBITS_TO_CHANGE = _DEBITS.with_for_update()
_LOGS_OF_ORDERS = select_in(money_log, "order_id")


# Books.


async def read_book(connection: AsyncConnection, database: Database, operations: Sequence[Operation]) -> Book:
    """Lock and read what operations name: debits before wallets, each in the order of their ids."""
    debits = await _lock_debits(connection, operations)
    owners = {debit.wallet_key for debit in debits.values() if debit.use_money_fen}
    takers = {(one.user_id, one.brand_id) for one in operations if isinstance(one, TakeCoins)}
    receivers = {(one.user_id, one.brand_id) for one in operations if isinstance(one, CreditCoins)}
    wallets = await _lock_wallets(connection, owners | takers | receivers)
    missing = receivers - wallets.keys()
    if missing:
        rows = [{"user_id": user, "brand_id": brand, "user_money_fen": 0, "seq": 0} for user, brand in sorted(missing)]
        await database.insert_ignore(connection, account, rows)
        wallets |= await _lock_wallets(connection, missing)
    logs = await _read_logs(connection, operations, debits)
    return Book(wallets, debits, logs, now_ms=await database.now_ms(connection))


async def _lock_debits(connection: AsyncConnection, operations: Sequence[Operation]) -> dict[int, Debit]:
    order_ids = {one.order_id for one in operations if not isinstance(one, CreditCoins)}
    return {row.order_id: to_debit(row) for row in await read_in(connection, _DEBITS_TO_CHANGE, order_ids)}


async def _lock_wallets(connection: AsyncConnection, keys: Collection[WalletKey]) -> dict[WalletKey, Wallet]:
    """Lock those of the wallets that exist; of their users also those at other brands, of which there are few."""
    rows = await read_in(connection, _WALLETS_TO_CHANGE, {user_id for user_id, _ in keys})
    wallets = {(row.user_id, row.brand_id): to_wallet(row) for row in rows}
    return {key: wallets[key] for key in keys if key in wallets}


async def _read_logs(
    connection: AsyncConnection, operations: Sequence[Operation], debits: dict[int, Debit]
) -> dict[LogName, MoneyLog]:
    """Read what was entered for the orders that operations may have been about before."""
    order_ids = {
        one.order_id
        for one in operations
        if isinstance(one, RefundCoins | CreditCoins) or (isinstance(one, TakeCoins) and one.order_id in debits)
    }
    logs = map(to_log, await read_in(connection, _LOGS_OF_ORDERS, order_ids))
    return {log.name: log for log in logs}


async def has_debits(connection: AsyncConnection, order_ids: Collection[int]) -> bool:
    """Tell whether any of these orders is known by now. Waits for nobody."""
    return bool(await read_in(connection, _DEBITS, set(order_ids)))


async def write_book(connection: AsyncConnection, book: Book) -> None:
    """Write what a book changed.

    Raises IntegrityError when another process was first with an order, AssertionError when a row is not as it was read
    under its lock.
    """
    changes = book.changes
    new_debits = [_debit_row(one) for _, one in sorted(changes.new_debits.items())]
    await insert_rows(connection, debit, DEBIT_COLUMNS, new_debits)
    debits = [
        (one.state.value, one.refunded_fen, one.order_id, *book.debits_read[one.order_id])
        for _, one in sorted(changes.debits.items())
    ]
    await update_locked_rows(
        connection, debit, ("state", "refunded_fen"), ("order_id", "state", "refunded_fen"), debits
    )
    wallets = [(one.user_money_fen, one.seq, *key, book.seqs_read[key]) for key, one in sorted(changes.wallets.items())]
    await update_locked_rows(connection, account, ("user_money_fen", "seq"), ("user_id", "brand_id", "seq"), wallets)
    await insert_rows(connection, money_log, LOG_COLUMNS, [_log_row(one) for one in changes.logs])


# What is shown.


async def read_wallet(connection: AsyncConnection, user_id: int, brand_id: int) -> Wallet:
    """Read a wallet; one that never had coins is empty."""
    statement = sa.select(account).where(account.c.user_id == user_id, account.c.brand_id == brand_id)
    row = (await connection.execute(statement)).one_or_none()
    return to_wallet(row) if row else Wallet(user_id, brand_id)


async def list_logs(
    connection: AsyncConnection, user_id: int, brand_id: int, *, before_seq: int | None, limit: int
) -> list[MoneyLog]:
    """Read the changes of a wallet, newest first."""
    statement = sa.select(money_log).where(money_log.c.user_id == user_id, money_log.c.brand_id == brand_id)
    if before_seq is not None:
        statement = statement.where(money_log.c.seq < before_seq)
    return [to_log(row) for row in await connection.execute(statement.order_by(money_log.c.seq.desc()).limit(limit))]


# Rows.


def to_wallet(row: Any) -> Wallet:
    """Read a row."""
    return Wallet(*row)


def to_debit(row: Any) -> Debit:
    """Read a row."""
    order_id, state, *amounts = row
    return Debit(order_id, DebitState(state), *amounts)


def to_log(row: Any) -> MoneyLog:
    """Read a row."""
    user_id, brand_id, seq, money_log_type, *rest = row
    return MoneyLog(user_id, brand_id, seq, MoneyLogType(money_log_type), *rest)
