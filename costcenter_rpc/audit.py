"""The ledger checked against itself, from its tables alone.

Each rule is one statement that the database answers with the rows that break it: it sees one moment even while the
ledger works, and no more than `VIOLATIONS_MAX` rows a rule are held here. What leaves no trace in the tables (that a
refusal changes nothing, that the oldest package is taken first) cannot be a rule here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from costcenter_rpc.domain import EntryKind, FreezeState, PrePay
from costcenter_rpc.jobs import JobState
from costcenter_rpc.tables import account, allocation, entry, freeze, job, lot, payment, remembered_request, settlement
from mesh.database import Database

VIOLATIONS_MAX = 100
"""Rows told of one rule at most."""

Rows = sa.Select[Any]
Number = sa.ColumnElement[Any]

_AMOUNTS = ("available", "frozen", "spent", "expired", "granted")

_MOVES: dict[EntryKind, dict[str, int]] = {
    EntryKind.GRANT: {"granted": 1, "available": 1},
    EntryKind.FREEZE: {"available": -1, "frozen": 1},
    EntryKind.PAY: {"frozen": -1, "spent": 1},
    EntryKind.PAY_AVAILABLE: {"available": -1, "spent": 1},
    EntryKind.RELEASE: {"frozen": -1, "available": 1},
    EntryKind.FREEZE_EXPIRE: {"frozen": -1, "available": 1},
    EntryKind.REFUND: {"spent": -1, "available": 1},
    EntryKind.REFUND_GRACE: {"spent": -1, "available": 1},
    EntryKind.LOT_EXPIRE: {"available": -1, "expired": 1},
}
"""What each kind of entry does to the amounts, in units of the credits that it moves; the others stay."""

_LEFT = freeze.c.num - freeze.c.captured - freeze.c.released

_ONCE_A_REQUEST = (EntryKind.GRANT, EntryKind.FREEZE, EntryKind.PAY, EntryKind.RELEASE, EntryKind.FREEZE_EXPIRE)
"""Kinds of which one request makes one entry. Requests of several kinds make the others, and may have equal ids."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A row that breaks a rule: `subject` names it, `figures` show how."""

    rule: str
    subject: str
    figures: Mapping[str, int | str]

    def __str__(self) -> str:
        figures = ", ".join(f"{name}={value}" for name, value in self.figures.items())
        return f"{self.rule}: {self.subject}: {figures}"


async def audit(database: Database) -> list[Violation]:
    """Answer what breaks a rule: nothing, in a sound ledger. Reads every table, locks none."""
    violations: list[Violation] = []
    async with database.read() as connection:
        for rule, statement in RULES.items():
            for row in await connection.execute(statement.limit(VIOLATIONS_MAX)):
                subject, *figures = row._asdict().items()
                shown = {name: figure if isinstance(figure, str) else int(figure or 0) for name, figure in figures}
                violations.append(Violation(rule, f"{subject[0]} {subject[1]}", shown))
    return violations


def _totals(rows: sa.FromClause, key: str, *conditions: Number, **totals: Number) -> sa.Subquery:
    """Aggregate rows by `key`."""
    columns = [total.label(name) for name, total in totals.items()]
    return sa.select(rows.c[key], *columns).where(*conditions).group_by(rows.c[key]).subquery()


def _sums(rows: sa.FromClause, key: str, *conditions: Number, **sums: Number) -> sa.Subquery:
    """Add up rows by `key`."""
    return _totals(rows, key, *conditions, **{name: sa.func.sum(one) for name, one in sums.items()})


def _unequal(owner: sa.Table, key: str, totals: sa.Subquery, **wanted: Number) -> Rows:
    """Rows of `owner` whose totals are not as wanted. Where there are no rows to add up, they are 0."""
    found = {name: _or_zero(totals.c[name]) for name in wanted}
    figures = [column.label(name) for name, column in wanted.items()]
    figures += [column.label(f"{name}_found") for name, column in found.items()]
    return (
        sa.select(owner.c[key], *figures)
        .outerjoin_from(owner, totals, owner.c[key] == totals.c[key])
        .where(sa.or_(*(found[name] != column for name, column in wanted.items())))
    )


def _or_zero(column: Number) -> Number:
    return sa.func.coalesce(column, 0)


def _wrong_balances() -> Rows:
    parts = account.c.available + account.c.frozen + account.c.spent + account.c.expired
    below_zero = (account.c[name] < 0 for name in _AMOUNTS)
    return sa.select(account).where(sa.or_(account.c.granted != parts, *below_zero))


def _wrong_statements() -> Rows:
    amounts = {name: sa.func.sum(entry.c[name]) for name in _AMOUNTS}
    totals = _totals(entry, "brand_id", entries=sa.func.count(), last_seq=sa.func.max(entry.c.seq), **amounts)
    wanted = {name: account.c[name] for name in _AMOUNTS}
    return _unequal(account, "brand_id", totals, entries=account.c.seq, last_seq=account.c.seq, **wanted)


def _wrong_entries() -> Rows:
    def has_shape(moves: Mapping[str, int]) -> Number:
        moved = next(entry.c[name] for name, sign in moves.items() if sign > 0)
        return sa.and_(moved > 0, *(entry.c[name] == moved * moves.get(name, 0) for name in _AMOUNTS))

    right = (sa.and_(entry.c.kind == kind.value, has_shape(moves)) for kind, moves in _MOVES.items())
    return sa.select(entry).where(sa.not_(sa.or_(*right)))


def _statements_below_zero() -> Rows:
    def running(name: str) -> Number:
        return sa.func.sum(entry.c[name]).over(partition_by=entry.c.brand_id, order_by=entry.c.seq).label(name)

    balances = sa.select(entry.c.brand_id, entry.c.seq, *(running(name) for name in _AMOUNTS)).subquery()
    return sa.select(balances).where(sa.or_(*(balances.c[name] < 0 for name in _AMOUNTS)))


def _requests_done_twice() -> Rows:
    times = sa.func.count()
    return (
        sa.select(entry.c.brand_id, entry.c.kind, entry.c.request_id, times.label("times"))
        .where(entry.c.kind.in_([kind.value for kind in _ONCE_A_REQUEST]))
        .group_by(entry.c.brand_id, entry.c.kind, entry.c.request_id)
        .having(times > 1)
    )


def _wrong_freezes() -> Rows:
    right = sa.or_(
        sa.and_(freeze.c.state == FreezeState.FROZEN.value, _LEFT > 0),
        sa.and_(freeze.c.state == FreezeState.PAID.value, _LEFT == 0, freeze.c.captured > 0),
        sa.and_(freeze.c.state == FreezeState.RELEASED.value, _LEFT == 0, freeze.c.released > 0),
        # What is left of an expired freeze is not held any more, but may be paid late.
        sa.and_(freeze.c.state == FreezeState.EXPIRED.value, _LEFT >= 0),
    )
    return sa.select(freeze).where(sa.not_(right))


def _freezes_without_request() -> Rows:
    key = sa.cast(freeze.c.brand_id, sa.String).concat(f"/{PrePay.kind}/").concat(freeze.c.request_id)
    return (
        sa.select(freeze.c.freeze_id, freeze.c.request_id)
        .outerjoin_from(freeze, remembered_request, remembered_request.c.key == key)
        .where(remembered_request.c.key.is_(None))
    )


def _freezes_unlike_their_payments() -> Rows:
    extra = _sums(settlement, "payment_id", extra=settlement.c.extra)
    charges = (
        sa.select(payment.c.freeze_id, (payment.c.charged - _or_zero(extra.c.extra)).label("num"))
        .outerjoin_from(payment, extra, payment.c.payment_id == extra.c.payment_id)
        .subquery()
    )
    return _unequal(
        freeze, "freeze_id", _sums(charges, "freeze_id", captured=charges.c.num), captured=freeze.c.captured
    )


def _payments_unlike_their_allocations() -> Rows:
    totals = _totals(
        allocation,
        "payment_id",
        charged=sa.func.sum(allocation.c.num),
        refunded=sa.func.sum(allocation.c.refunded),
        gaps=sa.func.max(allocation.c.position) + 1 - sa.func.count(),
    )
    wanted = {"charged": payment.c.charged, "refunded": payment.c.refunded, "gaps": sa.literal(0)}
    return _unequal(payment, "payment_id", totals, **wanted)


def _wrong_allocations() -> Rows:
    """Allocations of more refunds than charge, or without a payment and a package of one brand."""
    return (
        sa.select(allocation)
        .outerjoin_from(allocation, payment, payment.c.payment_id == allocation.c.payment_id)
        .outerjoin(lot, sa.and_(lot.c.lot_id == allocation.c.lot_id, lot.c.brand_id == payment.c.brand_id))
        .where(sa.or_(lot.c.lot_id.is_(None), allocation.c.num <= 0, allocation.c.refunded > allocation.c.num))
    )


def _wrong_settlements() -> Rows:
    """Settlements of more than their payment, or without one of their brand."""
    totals = _sums(settlement, "payment_id", refunded=settlement.c.refunded, extra=settlement.c.extra)
    within = sa.and_(totals.c.refunded <= payment.c.refunded, totals.c.extra <= payment.c.charged)
    return (
        sa.select(settlement)
        .join_from(settlement, totals, totals.c.payment_id == settlement.c.payment_id)
        .outerjoin(
            payment,
            sa.and_(payment.c.payment_id == settlement.c.payment_id, payment.c.brand_id == settlement.c.brand_id),
        )
        .where(sa.or_(payment.c.payment_id.is_(None), sa.not_(within)))
    )


def _wrong_lots() -> Rows:
    """Packages whose credits are not all somewhere: remaining, charged, expired, or refunded to a grace package."""
    charges = _sums(allocation, "lot_id", num=allocation.c.num, kept=allocation.c.num - allocation.c.refunded)
    written_off = sa.func.substr(entry.c.request_id, len("lot/") + 1).label("lot_id")
    expiries = (
        sa.select(written_off, sa.func.sum(entry.c.expired).label("num"))
        .where(entry.c.kind == EntryKind.LOT_EXPIRE.value)
        .group_by(written_off)
        .subquery()
    )
    outside = lot.c.remaining + _or_zero(expiries.c.num)
    return (
        sa.select(lot, _or_zero(charges.c.kept).label("charged"), _or_zero(expiries.c.num).label("expired"))
        .outerjoin_from(lot, charges, charges.c.lot_id == lot.c.lot_id)
        .outerjoin(expiries, expiries.c.lot_id == lot.c.lot_id)
        .where(
            sa.or_(
                lot.c.is_open != (lot.c.remaining > 0),
                sa.not_(lot.c.granted.between(outside + _or_zero(charges.c.kept), outside + _or_zero(charges.c.num))),
            )
        )
    )


def _jobs_without_effect() -> Rows:
    request = remembered_request
    same = sa.and_(request.c.key == job.c.key, request.c.body_hash == job.c.body_hash)
    return (
        sa.select(job.c.job_id, job.c.key)
        .outerjoin_from(job, request, same)
        .where(job.c.state == JobState.APPLIED.value, request.c.key.is_(None))
    )


def _without_account(table: sa.Table) -> Rows:
    return (
        sa.select(table.c.brand_id, sa.func.count().label(table.name))
        .outerjoin_from(table, account, account.c.brand_id == table.c.brand_id)
        .where(account.c.brand_id.is_(None))
        .group_by(table.c.brand_id)
    )


def _grace_lots_unlike_their_refunds() -> Rows:
    granted = sa.select(lot.c.brand_id, lot.c.granted.label("num")).where(lot.c.grace)
    refunded = sa.select(entry.c.brand_id, -entry.c.available).where(entry.c.kind == EntryKind.REFUND_GRACE.value)
    both = sa.union_all(granted, refunded).subquery()
    return _unequal(account, "brand_id", _sums(both, "brand_id", difference=both.c.num), difference=sa.literal(0))


RULES: dict[str, Rows] = {
    "I1, I3: granted = available + frozen + spent + expired, none below zero": _wrong_balances(),
    "I2: packages hold what is available and what is frozen": _unequal(
        account,
        "brand_id",
        _sums(lot, "brand_id", remaining=lot.c.remaining),
        remaining=account.c.available + account.c.frozen,
    ),
    "I4: open freezes hold what is frozen": _unequal(
        account,
        "brand_id",
        _sums(freeze, "brand_id", freeze.c.state == FreezeState.FROZEN.value, left=_LEFT),
        left=account.c.frozen,
    ),
    "payments hold what is spent": _unequal(
        account,
        "brand_id",
        _sums(payment, "brand_id", spent=payment.c.charged - payment.c.refunded),
        spent=account.c.spent,
    ),
    "bought packages hold what was granted": _unequal(
        account,
        "brand_id",
        _sums(lot, "brand_id", sa.not_(lot.c.grace), granted=lot.c.granted),
        granted=account.c.granted,
    ),
    "grace packages hold what was refunded to them": _grace_lots_unlike_their_refunds(),
    "I5: a freeze's amounts are those of its state": _wrong_freezes(),
    "I9: a freeze has the request that made it": _freezes_without_request(),
    "I9: a request is done once": _requests_done_twice(),
    "a freeze has captured what its payments charged": _freezes_unlike_their_payments(),
    "I6: allocations are what was charged and refunded": _payments_unlike_their_allocations(),
    "I6: no allocation gives back more than it took, nor to another brand": _wrong_allocations(),
    "no settlement is beyond its payment": _wrong_settlements(),
    "every credit of a package is somewhere": _wrong_lots(),
    "I10: the statement is gapless and adds up to the balance": _wrong_statements(),
    "I10: an entry moves credits as its kind says": _wrong_entries(),
    "I3, I10: the statement is never below zero": _statements_below_zero(),
    "I12: an applied job has its request": _jobs_without_effect(),
    **{f"every {table.name} has its account": _without_account(table) for table in (lot, freeze, payment, entry)},
}
