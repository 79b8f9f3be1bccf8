"""Statements of every transaction, made once: to put one together takes longer than SQLite takes to run it."""

from __future__ import annotations

from costcenter_rpc import tables
from costcenter_rpc.rows import (
    ACCOUNT_COLUMNS,
    ALLOCATION_COLUMNS,
    FREEZE_COLUMNS,
    LOT_FIELDS,
    PAYMENT_COLUMNS,
    REQUEST_COLUMNS,
    SETTLEMENT_COLUMNS,
)
from mesh.statements import select_in

ACCOUNTS = select_in(tables.account, "brand_id", ACCOUNT_COLUMNS)
ACCOUNTS_TO_CHANGE = ACCOUNTS.order_by(tables.account.c.brand_id).with_for_update()
OPEN_LOTS_OF_BRANDS = select_in(tables.lot, "brand_id", LOT_FIELDS).where(tables.lot.c.is_open)
LOTS = select_in(tables.lot, "lot_id", LOT_FIELDS)
REQUESTS = select_in(tables.remembered_request, "key", REQUEST_COLUMNS)
FREEZES = select_in(tables.freeze, "freeze_id", FREEZE_COLUMNS)
PAYMENTS = select_in(tables.payment, "payment_id", PAYMENT_COLUMNS)
ALLOCATIONS_OF_PAYMENTS = select_in(tables.allocation, "payment_id", ALLOCATION_COLUMNS)
SETTLEMENTS_OF_MESSAGES = select_in(tables.settlement, "message_id", SETTLEMENT_COLUMNS)
