"""Receipts: before their submission, after it, twice, out of order, or for nothing we know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from sms_rpc import storage
from sms_rpc.domain import CHUNK_MAX, Record, RecordEvent, RecordStatus, record_sources
from sms_rpc.tables import record

log = telemetry.logger()


class ReceiptVerdict(StrEnum):
    DELIVERED = "DELIVERED"
    UNDELIVERED = "UNDELIVERED"
    PENDING = "PENDING"


_EVENTS = {
    ReceiptVerdict.DELIVERED: RecordEvent.DELIVER,
    ReceiptVerdict.UNDELIVERED: RecordEvent.UNDELIVER,
}
_UNPAID = frozenset({RecordStatus.ACCEPTED, RecordStatus.QUEUED})


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt. `dispatch_id` is what the submission carried as its id."""

    dispatch_id: int
    phone: str
    verdict: ReceiptVerdict
    provider_code: str


@dataclass(frozen=True, slots=True)
class RecordedReceipt:
    """What a receipt did. `settled`: the cost center has to hear of `record`; `retry`: it came too early for that."""

    record: Record | None = None
    settled: bool = False
    retry: bool = False
    delivered: bool = False


class Receipts:
    """Records what carriers report. The first final word about a message stands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_all(self, receipts: Sequence[Receipt]) -> list[RecordedReceipt]:
        """Record receipts; answer what each did, in order. A repeat answers as the first did."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            found = await _find(connection, receipts)
            for verdict, event in _EVENTS.items():
                sources = record_sources(event)
                moving = {
                    found[receipt].record_id: receipt
                    for receipt in receipts
                    if receipt.verdict is verdict and receipt in found and found[receipt].status in sources
                }
                await _move(connection, event, moving, now_ms)
            after = await storage.read_records_by_id(connection, {one.record_id for one in found.values()})
        return [
            _result(receipt, after.get(found[receipt].record_id) if receipt in found else None) for receipt in receipts
        ]


async def _find(connection: AsyncConnection, receipts: Sequence[Receipt]) -> dict[Receipt, Record]:
    """Find the record of each receipt: the one of its dispatch with its phone."""
    singles = await storage.read_records_by_id(connection, {receipt.dispatch_id for receipt in receipts})
    found = {
        receipt: singles[receipt.dispatch_id]
        for receipt in receipts
        if receipt.dispatch_id in singles and singles[receipt.dispatch_id].phone == receipt.phone
    }
    by_dispatch: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        if receipt not in found:
            by_dispatch.setdefault(receipt.dispatch_id, []).append(receipt)
    for dispatch_id, waiting in by_dispatch.items():
        records = await _read_of_dispatch(connection, dispatch_id, [receipt.phone for receipt in waiting])
        found.update({receipt: records[receipt.phone] for receipt in waiting if receipt.phone in records})
    return found


async def _read_of_dispatch(connection: AsyncConnection, dispatch_id: int, phones: Sequence[str]) -> dict[str, Record]:
    """Read the records of one dispatch by phone. Its task has the dispatch's first record, so others are left out."""
    first = sa.select(record.c.task_id).where(record.c.record_id == dispatch_id).scalar_subquery()
    records: dict[str, Record] = {}
    for start in range(0, len(phones), storage.IN_MAX):
        statement = sa.select(record).where(
            record.c.phone.in_(phones[start : start + storage.IN_MAX]),
            record.c.record_id >= dispatch_id,
            record.c.record_id < dispatch_id + CHUNK_MAX,
            record.c.task_id == first,
        )
        records.update({row.phone: storage.to_record(row) for row in await connection.execute(statement)})
    return records


async def _move(connection: AsyncConnection, event: RecordEvent, moving: dict[int, Receipt], now_ms: int) -> None:
    values = [{"provider_code": receipt.provider_code} for receipt in moving.values()]
    if event is RecordEvent.UNDELIVER:
        values = [{**value, "failure_reason": "UNDELIVERED"} for value in values]
    ranges = [(record_id, 1) for record_id in moving]
    await storage.move_records(connection, event, ranges, now_ms=now_ms, values=values)


def _result(receipt: Receipt, after: Record | None) -> RecordedReceipt:
    if after is None:
        log.warning("receipt for no message", dispatch_id=receipt.dispatch_id)
        return RecordedReceipt()
    if after.status in _UNPAID:
        return RecordedReceipt(after, retry=True)
    delivered = receipt.verdict is ReceiptVerdict.DELIVERED
    final = RecordStatus.DELIVERED if delivered else RecordStatus.FAILED
    settled = receipt.verdict is not ReceiptVerdict.PENDING and after.status is final and bool(after.payment_id)
    return RecordedReceipt(after, settled=settled, delivered=delivered)
