"""Reading books under their lock, and writing what changed.

Every function takes a connection whose transaction the caller opened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from costcenter_rpc import tables
from costcenter_rpc.book import Book
from costcenter_rpc.domain import (
    Account,
    Answer,
    ExpireFreeze,
    ExpireLots,
    Operation,
    Pay,
    Policy,
    PrePay,
    Release,
    ReportReceipt,
    ReportStatus,
    request_key,
)
from costcenter_rpc.rows import (
    amounts,
    fields,
    lot_row,
    request_row,
    to_allocation,
    to_freeze,
    to_lot,
    to_payment,
    to_remembered,
    to_settlement,
)
from costcenter_rpc.statements import (
    ACCOUNTS_TO_CHANGE,
    ALLOCATIONS_OF_PAYMENTS,
    FREEZES,
    LOTS,
    OPEN_LOTS_OF_BRANDS,
    PAYMENTS,
    REQUESTS,
    SETTLEMENTS_OF_MESSAGES,
    read_in,
    update_by,
)


async def lock_accounts(connection: AsyncConnection, brand_ids: Collection[int]) -> dict[int, Account]:
    """Lock the accounts that exist, in the order of their ids, so that no two transactions wait for each other."""
    rows = (await connection.execute(ACCOUNTS_TO_CHANGE, {"wanted": sorted(brand_ids)})).all()
    return {row.brand_id: Account(**row._mapping) for row in rows}  # noqa: SLF001  # SQLAlchemy's public name


async def read_books(
    connection: AsyncConnection,
    accounts: dict[int, Account],
    operations: Sequence[Operation],
    *,
    now_ms: int,
    policy: Policy,
) -> dict[int, Book]:
    """Read of each locked account what the operations name."""
    books = {brand_id: Book(account, now_ms=now_ms, policy=policy) for brand_id, account in accounts.items()}
    for lot in await read_in(connection, OPEN_LOTS_OF_BRANDS, books, to_lot):
        books[lot.brand_id].add_lots([lot])
    for request in await read_in(connection, REQUESTS, _keys(operations), to_remembered):
        books[request.brand_id].remembered[request.key] = request
    for freeze in await read_in(connection, FREEZES, _freeze_ids(books, operations), to_freeze):
        books[freeze.brand_id].freezes[freeze.freeze_id] = freeze
    await _read_payments(connection, books, operations)
    return books


async def _read_payments(connection: AsyncConnection, books: dict[int, Book], operations: Sequence[Operation]) -> None:
    reports = [operation for operation in operations if isinstance(operation, ReportStatus | ReportReceipt)]
    if not reports:
        return
    payment_ids = _of_brands(books, {report.payment_id for report in reports})
    brand_of: dict[str, int] = {}
    for payment in await read_in(connection, PAYMENTS, payment_ids, to_payment):
        brand_of[payment.payment_id] = payment.brand_id
        books[payment.brand_id].payments[payment.payment_id] = payment
        books[payment.brand_id].allocations[payment.payment_id] = []
    allocations = await read_in(connection, ALLOCATIONS_OF_PAYMENTS, brand_of, to_allocation)
    for allocation in sorted(allocations, key=lambda one: one.position):
        books[brand_of[allocation.payment_id]].allocations[allocation.payment_id].append(allocation)
    lot_ids = {allocation.lot_id for allocation in allocations}
    for lot in await read_in(connection, LOTS, lot_ids, to_lot):
        books[lot.brand_id].add_lots([lot])
    message_ids = {report.message_id for report in reports if report.message_id}
    for settlement in await read_in(connection, SETTLEMENTS_OF_MESSAGES, message_ids, to_settlement):
        if settlement.payment_id in brand_of:
            key = (settlement.payment_id, settlement.message_id)
            books[settlement.brand_id].settlements[key] = settlement


def _keys(operations: Sequence[Operation]) -> set[str]:
    keys = set()
    for operation in operations:
        if isinstance(operation, ExpireFreeze | ExpireLots):
            continue
        keys.add(request_key(operation.kind, operation.brand_id, operation.request_id))
        if isinstance(operation, Release):
            keys.add(request_key(PrePay.kind, operation.brand_id, operation.freeze_request_id))
    return keys


def _freeze_ids(books: dict[int, Book], operations: Sequence[Operation]) -> set[str]:
    """The freezes that operations name, directly or by the request that made them. Only those of their own brand."""
    freeze_ids = set()
    for operation in operations:
        if isinstance(operation, Pay | ExpireFreeze):
            freeze_ids.add(operation.freeze_id)
        elif isinstance(operation, Release) and operation.brand_id in books:
            key = request_key(PrePay.kind, operation.brand_id, operation.freeze_request_id)
            prepay = books[operation.brand_id].remembered.get(key)
            if prepay is not None and isinstance(prepay.outcome, Answer):
                freeze_ids.add(prepay.outcome.object_id)
    return _of_brands(books, freeze_ids)


def _of_brands(books: dict[int, Book], object_ids: set[str]) -> set[str]:
    """Keep the objects of the brands at hand: a request that names another brand's object finds nothing."""
    own = {str(brand_id) for brand_id in books}
    return {object_id for object_id in object_ids if object_id.partition("-")[0] in own}


async def write_books(connection: AsyncConnection, books: Iterable[Book]) -> None:
    """Write what the books changed. Raises AssertionError when a row is not as it was read under the lock."""
    changed = [book for book in books if book.changes.remembered or book.changes.entries]
    inserts: dict[sa.Table, list[dict[str, Any]]] = {
        tables.remembered_request: [request_row(r) for b in changed for r in b.changes.remembered],
        tables.entry: [fields(e) for b in changed for e in b.changes.entries],
        tables.lot: [lot_row(x) for b in changed for x in b.changes.new_lots.values()],
        tables.freeze: [fields(f) for b in changed for f in b.changes.new_freezes.values()],
        tables.payment: [fields(p) for b in changed for p in b.changes.new_payments.values()],
        tables.allocation: [fields(a) for b in changed for a in b.changes.new_allocations],
        tables.settlement: [fields(s) for b in changed for s in b.changes.new_settlements.values()],
    }
    for table, rows in inserts.items():
        if rows:
            await connection.execute(sa.insert(table), rows)
    await _update_changed(connection, changed)
    moved = [book for book in changed if book.account.seq != book.seq_read]
    if moved:
        rows = [
            {**fields(book.account), "key_brand_id": book.account.brand_id, "key_seq": book.seq_read} for book in moved
        ]
        await _update(connection, tables.account, ("brand_id", "seq"), rows)


async def _update_changed(connection: AsyncConnection, books: Sequence[Book]) -> None:
    lots = [
        {"key_lot_id": lot.lot_id, "granted": lot.granted, "remaining": lot.remaining, "is_open": lot.remaining > 0}
        for book in books
        for lot in book.changes.lots.values()
    ]
    freezes = [
        {"key_freeze_id": f.freeze_id, "captured": f.captured, "released": f.released, "state": f.state.value}
        for book in books
        for f in book.changes.freezes.values()
    ]
    payments = [
        {"key_payment_id": p.payment_id, "charged": p.charged, "refunded": p.refunded, "state": p.state.value}
        for book in books
        for p in book.changes.payments.values()
    ]
    allocations = [
        {"key_payment_id": a.payment_id, "key_position": a.position, "refunded": a.refunded}
        for book in books
        for a in book.changes.allocations.values()
    ]
    settlements = [
        {"key_message_id": s.message_id, "key_payment_id": s.payment_id, **amounts(s)}
        for book in books
        for s in book.changes.settlements.values()
    ]
    await _update(connection, tables.lot, ("lot_id",), lots)
    await _update(connection, tables.freeze, ("freeze_id",), freezes)
    await _update(connection, tables.payment, ("payment_id",), payments)
    await _update(connection, tables.allocation, ("payment_id", "position"), allocations)
    await _update(connection, tables.settlement, ("message_id", "payment_id"), settlements)


async def _update(
    connection: AsyncConnection, table: sa.Table, key: tuple[str, ...], rows: list[dict[str, Any]]
) -> None:
    """Update rows by their key, given as key_<column>; the other names are the columns to set."""
    if not rows:
        return
    columns = tuple(name for name in rows[0] if not name.startswith("key_"))
    result = await connection.execute(update_by(table, key, columns), rows)
    if connection.dialect.supports_sane_multi_rowcount and result.rowcount != len(rows):
        raise AssertionError(f"{result.rowcount} of {len(rows)} rows of {table.name} were as they were read")
