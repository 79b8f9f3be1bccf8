"""Rows of the tables, from and to the words of the domain."""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any, TypeAlias

from costcenter_rpc.domain import (
    Allocation,
    Answer,
    Balance,
    Entry,
    Freeze,
    FreezeState,
    Lot,
    Outcome,
    Payment,
    PaymentState,
    Refusal,
    RememberedRequest,
    Settlement,
)

Row: TypeAlias = tuple[Any, ...]
"""Values in the order of a table's ..._COLUMNS."""

ACCOUNT_AMOUNTS = ("available", "frozen", "spent", "expired", "granted", "seq")
ENTRY_COLUMNS = Entry._fields
LOT_COLUMNS = (*Lot.__slots__, "is_open")
FREEZE_COLUMNS = tuple(Freeze.__slots__)
PAYMENT_COLUMNS = tuple(Payment.__slots__)
ALLOCATION_COLUMNS = tuple(Allocation.__slots__)
SETTLEMENT_COLUMNS = tuple(Settlement.__slots__)
REQUEST_COLUMNS = ("key", "brand_id", "body_hash", "outcome", "created_at_ms")

account_amounts = attrgetter(*ACCOUNT_AMOUNTS)
freeze_row = attrgetter(*FREEZE_COLUMNS)
payment_row = attrgetter(*PAYMENT_COLUMNS)
allocation_row = attrgetter(*ALLOCATION_COLUMNS)
settlement_row = attrgetter(*SETTLEMENT_COLUMNS)
_lot_fields = attrgetter(*Lot.__slots__)


def lot_row(lot: Lot) -> Row:
    return (*_lot_fields(lot), lot.remaining > 0)


def request_row(request: RememberedRequest) -> Row:
    outcome = encode_outcome(request.outcome)
    return (request.key, request.brand_id, request.body_hash, outcome, request.created_at_ms)


def to_lot(row: Any) -> Lot:
    return Lot(
        row.lot_id, row.brand_id, row.seq, row.granted, row.remaining,
        row.expires_at_ms, row.created_at_ms, row.grace, row.reference,
    )  # fmt: skip


def to_freeze(row: Any) -> Freeze:
    return Freeze(
        row.freeze_id, row.brand_id, row.request_id, row.num, row.expires_at_ms,
        row.created_at_ms, row.captured, row.released, FreezeState(row.state),
    )  # fmt: skip


def to_payment(row: Any) -> Payment:
    return Payment(
        row.payment_id, row.brand_id, row.freeze_id, row.charged,
        row.created_at_ms, row.refunded, PaymentState(row.state),
    )  # fmt: skip


def to_allocation(row: Any) -> Allocation:
    return Allocation(row.payment_id, row.position, row.lot_id, row.num, row.refunded)


def to_settlement(row: Any) -> Settlement:
    return Settlement(row.brand_id, row.payment_id, row.message_id, row.refunded, row.extra, row.shortfall)


def to_remembered(row: Any) -> RememberedRequest:
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
