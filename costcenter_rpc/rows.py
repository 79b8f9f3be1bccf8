"""Rows of the tables, from and to the words of the domain."""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any, TypeAlias

from costcenter_rpc.domain import (
    Account,
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
ACCOUNT_COLUMNS = tuple(Account.__slots__)
ENTRY_COLUMNS = Entry._fields
LOT_FIELDS = tuple(Lot.__slots__)
LOT_COLUMNS = (*LOT_FIELDS, "is_open")
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
_lot_fields = attrgetter(*LOT_FIELDS)

_FREEZE_STATES: dict[str, FreezeState] = {state.value: state for state in FreezeState}
_PAYMENT_STATES: dict[str, PaymentState] = {state.value: state for state in PaymentState}


def lot_row(lot: Lot) -> Row:
    return (*_lot_fields(lot), lot.remaining > 0)


def request_row(request: RememberedRequest) -> Row:
    outcome = encode_outcome(request.outcome)
    return (request.key, request.brand_id, request.body_hash, outcome, request.created_at_ms)


# A row is read by the places of its columns: to look each up by its name takes five times as long.


def to_account(row: Any) -> Account:
    return Account(*row)


def to_lot(row: Any) -> Lot:
    return Lot(*row)


def to_freeze(row: Any) -> Freeze:
    freeze = Freeze(*row)
    freeze.state = _FREEZE_STATES[freeze.state]
    return freeze


def to_payment(row: Any) -> Payment:
    payment = Payment(*row)
    payment.state = _PAYMENT_STATES[payment.state]
    return payment


def to_allocation(row: Any) -> Allocation:
    return Allocation(*row)


def to_settlement(row: Any) -> Settlement:
    return Settlement(*row)


def to_remembered(row: Any) -> RememberedRequest:
    key, brand_id, body_hash, outcome, created_at_ms = row
    return RememberedRequest(key, brand_id, body_hash, decode_outcome(outcome), created_at_ms)


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
