"""Receipts: before their submission, after it, twice, out of order, or for nothing we know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.statements import read_in, select_in
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
_MAINLAND_PREFIX = "+86"
_MAINLAND_PHONE = re.compile(r"\+86(1[0-9]{10})")
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
        async with self._database.write(bulk=True) as connection:
            now_ms = await self._database.now_ms(connection)
            found = await _find(connection, receipts)
            words = _first_words(receipts, found)
            for verdict, event in _EVENTS.items():
                moving = {record_id: word for record_id, word in words.items() if word.verdict is verdict}
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
        if receipt not in found and receipt.dispatch_id in singles:
            by_dispatch.setdefault(receipt.dispatch_id, []).append(receipt)
    for dispatch_id, waiting in by_dispatch.items():
        first = singles[dispatch_id]
        phones = {receipt: _phone_of(receipt, first) for receipt in waiting}
        records = await _read_of_dispatch(connection, first, list(phones.values()))
        found.update({receipt: records[phone] for receipt, phone in phones.items() if phone in records})
    return found


def _phone_of(receipt: Receipt, first: Record) -> str:
    """The phone that a receipt is about. All of a dispatch are inside mainland China or all outside.

    An international account that pushes where others do has its +1 415 555 2671 read as +86 14155552671.
    """
    misread = _MAINLAND_PHONE.fullmatch(receipt.phone)
    return f"+{misread[1]}" if misread and not first.phone.startswith(_MAINLAND_PREFIX) else receipt.phone


_RECORDS_OF_DISPATCH = select_in(record, "phone").where(
    record.c.record_id >= sa.bindparam("first_id"),
    record.c.record_id < sa.bindparam("end_id"),
    record.c.task_id == sa.bindparam("task_id"),
)


async def _read_of_dispatch(connection: AsyncConnection, first: Record, phones: Sequence[str]) -> dict[str, Record]:
    """Read the records of one dispatch by phone. Those behind it that its task does not have are another send's."""
    end_id = first.record_id + CHUNK_MAX
    place = {"first_id": first.record_id, "end_id": end_id, "task_id": first.task_id}
    rows = await read_in(connection, _RECORDS_OF_DISPATCH, phones, **place)
    return {row.phone: storage.to_record(row) for row in rows}


def _first_words(receipts: Sequence[Receipt], found: Mapping[Receipt, Record]) -> dict[int, Receipt]:
    """Choose the first final word about each message that has none yet."""
    words: dict[int, Receipt] = {}
    for receipt in receipts:
        one, event = found.get(receipt), _EVENTS.get(receipt.verdict)
        if one is not None and event is not None and one.status in record_sources(event):
            words.setdefault(one.record_id, receipt)
    return words


async def _move(connection: AsyncConnection, event: RecordEvent, moving: Mapping[int, Receipt], now_ms: int) -> None:
    # A message whose outcome was unknown has a reason that a delivery disproves.
    reason = "UNDELIVERED" if event is RecordEvent.UNDELIVER else ""
    values = [{"provider_code": receipt.provider_code, "failure_reason": reason} for receipt in moving.values()]
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
