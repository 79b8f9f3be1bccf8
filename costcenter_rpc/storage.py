"""Reading books under their lock, writing what changed, and the queries.

Every function takes a connection whose transaction the caller opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from costcenter_rpc import tables
from costcenter_rpc.book import Book
from costcenter_rpc.domain import (
    Account,
    Allocation,
    Answer,
    Balance,
    Entry,
    EntryKind,
    ExpireFreeze,
    ExpireLots,
    Freeze,
    FreezeState,
    Lot,
    Operation,
    Outcome,
    Pay,
    Payment,
    PaymentState,
    Policy,
    PrePay,
    Refusal,
    Release,
    RememberedRequest,
    ReportReceipt,
    ReportStatus,
    Settlement,
    request_key,
)

_IN_MAX = 500
"""Values in one IN list: well below what any of the databases takes."""

Found = TypeVar("Found")

# Statements are made once: to put one together takes SQLAlchemy longer than SQLite takes to run it.


@cache
def _select_in(table: sa.Table, column: str) -> sa.Select[Any]:
    """Select the rows whose `column` is one of `wanted`."""
    return sa.select(table).where(table.c[column].in_(sa.bindparam("wanted", expanding=True)))


@cache
def _update_by(table: sa.Table, key: tuple[str, ...], columns: tuple[str, ...]) -> sa.Update:
    """Set `columns` of the row whose key is given as key_<column>."""
    return (
        sa.update(table)
        .where(*(table.c[name] == sa.bindparam(f"key_{name}") for name in key))
        .values({name: sa.bindparam(name) for name in columns})
    )


_LOCK_ACCOUNTS = _select_in(tables.account, "brand_id").order_by(tables.account.c.brand_id).with_for_update()
_OPEN_LOTS = _select_in(tables.lot, "brand_id").where(tables.lot.c.is_open)


async def lock_accounts(connection: AsyncConnection, brand_ids: Collection[int]) -> dict[int, Account]:
    """Lock the accounts that exist, in the order of their ids, so that no two transactions wait for each other."""
    rows = (await connection.execute(_LOCK_ACCOUNTS, {"wanted": sorted(brand_ids)})).all()
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
    for lot in await _read(connection, _OPEN_LOTS, books, _lot):
        books[lot.brand_id].add_lots([lot])
    for request in await _read(
        connection, _select_in(tables.remembered_request, "key"), _keys(operations), _remembered
    ):
        books[request.brand_id].remembered[request.key] = request
    for freeze in await _read(
        connection, _select_in(tables.freeze, "freeze_id"), _freeze_ids(books, operations), _freeze
    ):
        books[freeze.brand_id].freezes[freeze.freeze_id] = freeze
    await _read_payments(connection, books, operations)
    return books


async def _read_payments(connection: AsyncConnection, books: dict[int, Book], operations: Sequence[Operation]) -> None:
    reports = [operation for operation in operations if isinstance(operation, ReportStatus | ReportReceipt)]
    if not reports:
        return
    payment_ids = _of_brands(books, {report.payment_id for report in reports})
    brand_of: dict[str, int] = {}
    for payment in await _read(connection, _select_in(tables.payment, "payment_id"), payment_ids, _payment):
        brand_of[payment.payment_id] = payment.brand_id
        books[payment.brand_id].payments[payment.payment_id] = payment
        books[payment.brand_id].allocations[payment.payment_id] = []
    allocations = await _read(connection, _select_in(tables.allocation, "payment_id"), brand_of, _allocation)
    for allocation in sorted(allocations, key=lambda one: one.position):
        books[brand_of[allocation.payment_id]].allocations[allocation.payment_id].append(allocation)
    lot_ids = {allocation.lot_id for allocation in allocations}
    for lot in await _read(connection, _select_in(tables.lot, "lot_id"), lot_ids, _lot):
        books[lot.brand_id].add_lots([lot])
    message_ids = {report.message_id for report in reports if report.message_id}
    for settlement in await _read(connection, _select_in(tables.settlement, "message_id"), message_ids, _settlement):
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


async def _read(
    connection: AsyncConnection, statement: sa.Select[Any], values: Iterable[Any], build: Callable[[Any], Found]
) -> list[Found]:
    """Read the rows of a `_select_in` of `values`, in IN lists of bounded length."""
    wanted = sorted(values)
    found: list[Found] = []
    for start in range(0, len(wanted), _IN_MAX):
        rows = await connection.execute(statement, {"wanted": wanted[start : start + _IN_MAX]})
        found.extend(build(row) for row in rows)
    return found


async def write_books(connection: AsyncConnection, books: Iterable[Book]) -> None:
    """Write what the books changed. Raises AssertionError when a row is not as it was read under the lock."""
    changed = [book for book in books if book.changes.remembered or book.changes.entries]
    inserts: dict[sa.Table, list[dict[str, Any]]] = {
        tables.remembered_request: [_request_row(r) for b in changed for r in b.changes.remembered],
        tables.entry: [_fields(e) for b in changed for e in b.changes.entries],
        tables.lot: [_lot_row(x) for b in changed for x in b.changes.new_lots.values()],
        tables.freeze: [_freeze_row(f) for b in changed for f in b.changes.new_freezes.values()],
        tables.payment: [_fields(p) for b in changed for p in b.changes.new_payments.values()],
        tables.allocation: [_fields(a) for b in changed for a in b.changes.new_allocations],
        tables.settlement: [_fields(s) for b in changed for s in b.changes.new_settlements.values()],
    }
    for table, rows in inserts.items():
        if rows:
            await connection.execute(sa.insert(table), rows)
    await _update_changed(connection, changed)
    moved = [book for book in changed if book.account.seq != book.seq_read]
    if moved:
        rows = [
            {**_fields(book.account), "key_brand_id": book.account.brand_id, "key_seq": book.seq_read} for book in moved
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
        {"key_message_id": s.message_id, "key_payment_id": s.payment_id, **_amounts(s)}
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
    result = await connection.execute(_update_by(table, key, columns), rows)
    if connection.dialect.supports_sane_multi_rowcount and result.rowcount != len(rows):
        raise AssertionError(f"{result.rowcount} of {len(rows)} rows of {table.name} were as they were read")


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _amounts(settlement: Settlement) -> dict[str, int]:
    return {"refunded": settlement.refunded, "extra": settlement.extra, "shortfall": settlement.shortfall}


def _lot_row(lot: Lot) -> dict[str, Any]:
    return {**_fields(lot), "is_open": lot.remaining > 0}


def _freeze_row(freeze: Freeze) -> dict[str, Any]:
    return _fields(freeze)


def _request_row(request: RememberedRequest) -> dict[str, Any]:
    return {**_fields(request), "outcome": encode_outcome(request.outcome)}


def _lot(row: Any) -> Lot:
    return Lot(
        row.lot_id, row.brand_id, row.seq, row.granted, row.remaining,
        row.expires_at_ms, row.created_at_ms, row.grace, row.reference,
    )  # fmt: skip


def _freeze(row: Any) -> Freeze:
    return Freeze(
        row.freeze_id, row.brand_id, row.request_id, row.num, row.expires_at_ms,
        row.created_at_ms, row.captured, row.released, FreezeState(row.state),
    )  # fmt: skip


def _payment(row: Any) -> Payment:
    return Payment(
        row.payment_id, row.brand_id, row.freeze_id, row.charged,
        row.created_at_ms, row.refunded, PaymentState(row.state),
    )  # fmt: skip


def _allocation(row: Any) -> Allocation:
    return Allocation(row.payment_id, row.position, row.lot_id, row.num, row.refunded)


def _settlement(row: Any) -> Settlement:
    return Settlement(row.brand_id, row.payment_id, row.message_id, row.refunded, row.extra, row.shortfall)


def _remembered(row: Any) -> RememberedRequest:
    return RememberedRequest(row.key, row.brand_id, row.body_hash, decode_outcome(row.outcome), row.created_at_ms)


def encode_outcome(outcome: Outcome) -> str:
    """Write an answer or a refusal as compact JSON."""
    if isinstance(outcome, Refusal):
        return json.dumps([outcome.reason, outcome.message, outcome.metadata], separators=(",", ":"))
    balance = outcome.balance
    return (
        f'["","{outcome.object_id}",{outcome.num},{balance.available},{balance.frozen},'
        f"{balance.spent},{balance.expired},{balance.granted},{balance.seq}]"
    )


def decode_outcome(text: str) -> Outcome:
    """Read what `encode_outcome` wrote."""
    reason, *values = json.loads(text)
    if reason:
        return Refusal(reason, values[0], values[1])
    return Answer(values[0], values[1], Balance(*values[2:]))


# Queries.


async def read_account(connection: AsyncConnection, brand_id: int) -> Account | None:
    """Read one balance without a lock."""
    row = (
        await connection.execute(sa.select(tables.account).where(tables.account.c.brand_id == brand_id))
    ).one_or_none()
    return Account(**row._mapping) if row else None  # noqa: SLF001  # SQLAlchemy's public name


async def read_freeze(connection: AsyncConnection, brand_id: int, freeze_id: str) -> Freeze | None:
    """Read one freeze of a brand."""
    table = tables.freeze
    statement = sa.select(table).where(table.c.freeze_id == freeze_id, table.c.brand_id == brand_id)
    row = (await connection.execute(statement)).one_or_none()
    return _freeze(row) if row else None


async def list_lots(
    connection: AsyncConnection, brand_id: int, *, after: tuple[int, int], limit: int, show_exhausted: bool
) -> list[Lot]:
    """Read lots in the order of consumption, after `(expires_at_ms, seq)`."""
    table = tables.lot
    position = sa.or_(
        table.c.expires_at_ms > after[0], sa.and_(table.c.expires_at_ms == after[0], table.c.seq > after[1])
    )
    statement = sa.select(table).where(table.c.brand_id == brand_id, position)
    if not show_exhausted:
        statement = statement.where(table.c.is_open)
    rows = await connection.execute(statement.order_by(table.c.expires_at_ms, table.c.seq).limit(limit))
    return [_lot(row) for row in rows]


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
        .order_by(table.c.expires_at_ms)
        .limit(limit)
    )
    return [(row.brand_id, row.freeze_id) for row in await connection.execute(statement)]


async def existing_brands(connection: AsyncConnection, brand_ids: Collection[int]) -> set[int]:
    """Answer those of the brands that have an account."""
    column = tables.account.c.brand_id
    return set((await connection.execute(sa.select(column).where(column.in_(brand_ids)))).scalars())


async def existing_payments(connection: AsyncConnection, payment_ids: Collection[str]) -> set[tuple[int, str]]:
    """Answer those of the payments that exist, as (brand_id, payment_id)."""
    payments = await _read(connection, _select_in(tables.payment, "payment_id"), payment_ids, _payment)
    return {(payment.brand_id, payment.payment_id) for payment in payments}


async def freeze_states(connection: AsyncConnection, prepay_keys: Collection[str]) -> dict[str, FreezeState]:
    """Answer the states of the freezes that these requests made."""
    requests = await _read(connection, _select_in(tables.remembered_request, "key"), prepay_keys, _remembered)
    freeze_of = {one.key: one.outcome.object_id for one in requests if isinstance(one.outcome, Answer)}
    freezes = await _read(connection, _select_in(tables.freeze, "freeze_id"), freeze_of.values(), _freeze)
    states = {freeze.freeze_id: freeze.state for freeze in freezes}
    return {key: states[freeze_id] for key, freeze_id in freeze_of.items()}
