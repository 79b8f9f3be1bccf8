"""Statements of every transaction, made once: to put one together takes longer than SQLite takes to run it."""

from __future__ import annotations

from costcenter_rpc import tables
from mesh.statements import select_in

ACCOUNTS_TO_CHANGE = select_in(tables.account, "brand_id").order_by(tables.account.c.brand_id).with_for_update()
OPEN_LOTS_OF_BRANDS = select_in(tables.lot, "brand_id").where(tables.lot.c.is_open)
LOTS = select_in(tables.lot, "lot_id")
REQUESTS = select_in(tables.remembered_request, "key")
FREEZES = select_in(tables.freeze, "freeze_id")
PAYMENTS = select_in(tables.payment, "payment_id")
ALLOCATIONS_OF_PAYMENTS = select_in(tables.allocation, "payment_id")
SETTLEMENTS_OF_MESSAGES = select_in(tables.settlement, "message_id")
