"""Reading books under their lock, and writing what changed.

Every function takes a connection whose transaction the caller opened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from costcenter_rpc import tables
from costcenter_rpc.book import Book, Changes
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
    ACCOUNT_AMOUNTS,
    ALLOCATION_COLUMNS,
    ENTRY_COLUMNS,
    FREEZE_COLUMNS,
    LOT_COLUMNS,
    PAYMENT_COLUMNS,
    REQUEST_COLUMNS,
    SETTLEMENT_COLUMNS,
    account_amounts,
    allocation_row,
    freeze_row,
    lot_row,
    payment_row,
    request_row,
    settlement_row,
    to_account,
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
)
from mesh.bulk_rows import insert_rows, update_locked_rows
from mesh.statements import read_in


async def lock_accounts(connection: AsyncConnection, brand_ids: Collection[int]) -> dict[int, Account]:
    """Lock the accounts that exist, in the order of their ids, so that no two transactions wait for each other."""
    rows = await connection.execute(ACCOUNTS_TO_CHANGE, {"wanted": sorted(brand_ids)})
    return {account.brand_id: account for account in map(to_account, rows)}


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
    for lot in map(to_lot, await read_in(connection, OPEN_LOTS_OF_BRANDS, books)):
        books[lot.brand_id].add_lots([lot])
    for request in map(to_remembered, await read_in(connection, REQUESTS, _keys(operations))):
        books[request.brand_id].remembered[request.key] = request
    for freeze in map(to_freeze, await read_in(connection, FREEZES, _freeze_ids(books, operations))):
        books[freeze.brand_id].freezes[freeze.freeze_id] = freeze
    await _read_payments(connection, books, operations)
    return books


async def _read_payments(connection: AsyncConnection, books: dict[int, Book], operations: Sequence[Operation]) -> None:
    reports = [operation for operation in operations if isinstance(operation, ReportStatus | ReportReceipt)]
    if not reports:
        return
    payment_ids = _of_brands(books, {report.payment_id for report in reports})
    brand_of: dict[str, int] = {}
    for payment in map(to_payment, await read_in(connection, PAYMENTS, payment_ids)):
        brand_of[payment.payment_id] = payment.brand_id
        books[payment.brand_id].payments[payment.payment_id] = payment
        books[payment.brand_id].allocations[payment.payment_id] = []
    allocations = list(map(to_allocation, await read_in(connection, ALLOCATIONS_OF_PAYMENTS, brand_of)))
    for allocation in sorted(allocations, key=lambda one: one.position):
        books[brand_of[allocation.payment_id]].allocations[allocation.payment_id].append(allocation)
    lot_ids = {allocation.lot_id for allocation in allocations}
    for lot in map(to_lot, await read_in(connection, LOTS, lot_ids)):
        books[lot.brand_id].add_lots([lot])
    message_ids = {report.message_id for report in reports if report.message_id}
    for settlement in map(to_settlement, await read_in(connection, SETTLEMENTS_OF_MESSAGES, message_ids)):
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
    changes = [book.changes for book in changed]
    await _insert_new(connection, changes)
    await _update_changed(connection, changes)
    moved = [
        (*account_amounts(b.account), b.account.brand_id, b.seq_read) for b in changed if b.account.seq != b.seq_read
    ]
    await update_locked_rows(connection, tables.account, ACCOUNT_AMOUNTS, ("brand_id", "seq"), moved)


async def _insert_new(connection: AsyncConnection, changes: Sequence[Changes]) -> None:
    requests = [request_row(one) for of in changes for one in of.remembered]
    entries = [entry for of in changes for entry in of.entries]
    lots = [lot_row(one) for of in changes for one in of.new_lots.values()]
    freezes = [freeze_row(one) for of in changes for one in of.new_freezes.values()]
    payments = [payment_row(one) for of in changes for one in of.new_payments.values()]
    allocations = [allocation_row(one) for of in changes for one in of.new_allocations]
    settlements = [settlement_row(one) for of in changes for one in of.new_settlements.values()]
    await insert_rows(connection, tables.remembered_request, REQUEST_COLUMNS, requests)
    await insert_rows(connection, tables.entry, ENTRY_COLUMNS, entries)
    await insert_rows(connection, tables.lot, LOT_COLUMNS, lots)
    await insert_rows(connection, tables.freeze, FREEZE_COLUMNS, freezes)
    await insert_rows(connection, tables.payment, PAYMENT_COLUMNS, payments)
    await insert_rows(connection, tables.allocation, ALLOCATION_COLUMNS, allocations)
    await insert_rows(connection, tables.settlement, SETTLEMENT_COLUMNS, settlements)


async def _update_changed(connection: AsyncConnection, changes: Sequence[Changes]) -> None:
    lots = [(x.granted, x.remaining, x.remaining > 0, x.lot_id) for of in changes for x in of.lots.values()]
    freezes = [(x.captured, x.released, x.state, x.freeze_id) for of in changes for x in of.freezes.values()]
    payments = [(x.charged, x.refunded, x.state, x.payment_id) for of in changes for x in of.payments.values()]
    allocations = [(x.refunded, x.payment_id, x.position) for of in changes for x in of.allocations.values()]
    settlements = [
        (x.refunded, x.extra, x.shortfall, x.message_id, x.payment_id)
        for of in changes
        for x in of.settlements.values()
    ]
    await update_locked_rows(connection, tables.lot, ("granted", "remaining", "is_open"), ("lot_id",), lots)
    await update_locked_rows(connection, tables.freeze, ("captured", "released", "state"), ("freeze_id",), freezes)
    await update_locked_rows(connection, tables.payment, ("charged", "refunded", "state"), ("payment_id",), payments)
    await update_locked_rows(connection, tables.allocation, ("refunded",), ("payment_id", "position"), allocations)
    await update_locked_rows(
        connection, tables.settlement, ("refunded", "extra", "shortfall"), ("message_id", "payment_id"), settlements
    )
