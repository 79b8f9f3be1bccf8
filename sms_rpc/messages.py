"""What apps ask of messages after they were sent: look them up, list them, cancel scheduled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import sqlalchemy as sa

from mesh import pages
from mesh.control_characters import has_control_character
from mesh.database import Database
from mesh.errors import DomainError, invalid_field
from mesh.phones import normalise
from sms_rpc import storage
from sms_rpc.acceptance import refused_phone
from sms_rpc.clients import CostCenter
from sms_rpc.domain import CHUNK_MAX, Record, RecordEvent, RecordStatus, Task
from sms_rpc.sending import brand_not_found
from sms_rpc.tables import block, brand

_ALL_IDS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class MessagePage:
    messages: Sequence[tuple[Record, Task]]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class BlockedPhone:
    phone: str
    reason: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class BlockPage:
    phones: Sequence[BlockedPhone]
    next_page_token: str


class Messages:
    """Queries and cancels."""

    def __init__(self, database: Database, cost_center: CostCenter) -> None:
        self._database = database
        self._cost_center = cost_center

    async def get(self, brand_id: int, message_id: int) -> tuple[Record, Task]:
        """Read one message. Raises SMS_NOT_FOUND, for another brand's message too."""
        async with self._database.read() as connection:
            found = await storage.read_message(connection, brand_id, message_id)
        if found is None:
            raise _not_found(f"no message {message_id}")
        return found

    async def list(
        self, brand_id: int, page: pages.PageRequest, *, task_id: int, phone: str, status: RecordStatus | None
    ) -> MessagePage:
        """Read a page of messages, newest first. A page may be short while its token goes on."""
        wanted_phone = _e164(phone) if phone else ""
        before_id = (page.after(1) or (_ALL_IDS,))[0]
        async with self._database.read() as connection:
            found, scan_end = await storage.list_messages(
                connection,
                brand_id,
                task_id=task_id,
                phone=wanted_phone,
                status=status,
                before_id=before_id,
                limit=page.size + 1,
            )
        kept, token = pages.cut(found, page.size, lambda one: (one[0].record_id,))
        return MessagePage(kept, token or (pages.token_of((scan_end,)) if scan_end else ""))

    async def cancel(self, brand_id: int, message_id: int) -> tuple[Record, Task]:
        """Cancel a scheduled message and give its credits back. Raises SMS_NOT_CANCELLABLE once it is on its way."""
        record, task = await self.get(brand_id, message_id)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            await storage.move_records(connection, RecordEvent.CANCEL, [(message_id, 1)], now_ms=now_ms)
        record, task = await self.get(brand_id, message_id)
        if record.status is not RecordStatus.CANCELLED:
            raise _not_cancellable(f"message {message_id} is {record.status.lower()}; only a scheduled one can be")
        # Repeated with each repeat of the cancel, so a crash before this does not keep the credits.
        await self._cost_center.release(brand_id, f"cancel/{message_id}", task.freeze_request_id, record.segments)
        return record, task

    async def cancel_task(self, brand_id: int, task_id: int) -> int:
        """Cancel all scheduled messages of a request; answer how many are cancelled, now or before."""
        async with self._database.read() as connection:
            task = await storage.read_task(connection, brand_id, task_id)
        if task is None:
            raise _not_found(f"no task {task_id}")
        count = task.accepted_count + task.blocked_count
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            await storage.move_records(connection, RecordEvent.CANCEL, [(task_id, count)], now_ms=now_ms)
            cancelled, others = await storage.count_cancelled(connection, task_id, count)
        if not cancelled:
            raise _not_cancellable(f"no message of task {task_id} is scheduled")
        await self._release_cancelled(task, all_cancelled=not others)
        return cancelled

    async def _release_cancelled(self, task: Task, *, all_cancelled: bool) -> None:
        """Give credits back: the whole freeze at once, or message by message where others of the task are on their way.

        Each message has its own request id, the same as when it is cancelled alone, so nothing is given back twice.
        """
        if all_cancelled:
            await self._cost_center.release(task.brand_id, f"cancel-task/{task.task_id}", task.freeze_request_id)
            return
        for start in range(0, task.accepted_count + task.blocked_count, CHUNK_MAX):
            async with self._database.read() as connection:
                records = await storage.read_records(connection, task.task_id + start, CHUNK_MAX)
            await self._cost_center.release_all(
                task.brand_id,
                task.freeze_request_id,
                {f"cancel/{one.record_id}": one.segments for one in records if one.status is RecordStatus.CANCELLED},
            )

    async def put_brand(self, brand_id: int, *, international: bool) -> None:
        """Make a brand known, or change what it may do."""
        async with self._database.write() as connection:
            row = {"brand_id": brand_id, "international": international}
            await self._database.insert_ignore(connection, brand, [row])
            statement = sa.update(brand).where(brand.c.brand_id == brand_id)
            await connection.execute(statement.values(international=international))

    async def block_phone(self, brand_id: int, phone: str, reason: str) -> BlockedPhone:
        """Put a phone on a brand's block list; a repeat answers with the first entry."""
        e164 = _e164(phone)
        if has_control_character(reason):
            raise invalid_field("reason", "has a control character")
        async with self._database.write() as connection:
            if not await storage.read_brands(connection, [brand_id]):
                raise brand_not_found(brand_id)
            now_ms = await self._database.now_ms(connection)
            row = {"brand_id": brand_id, "phone": e164, "reason": reason, "created_at_ms": now_ms}
            await self._database.insert_ignore(connection, block, [row])
            statement = sa.select(block).where(block.c.brand_id == brand_id, block.c.phone == e164)
            stored = (await connection.execute(statement)).one()
        return BlockedPhone(stored.phone, stored.reason, stored.created_at_ms)

    async def unblock_phone(self, brand_id: int, phone: str) -> None:
        """Take a phone off a brand's block list."""
        e164 = _e164(phone)
        async with self._database.write() as connection:
            await connection.execute(sa.delete(block).where(block.c.brand_id == brand_id, block.c.phone == e164))

    async def list_blocked(self, brand_id: int, page: pages.PageRequest) -> BlockPage:
        """Read a page of a brand's block list, by phone."""
        after = (page.after(1) or (0,))[0]
        async with self._database.read() as connection:
            statement = (
                sa.select(block)
                .where(block.c.brand_id == brand_id, block.c.phone > (f"+{after}" if after else ""))
                .order_by(block.c.phone)
                .limit(page.size + 1)
            )
            rows = (await connection.execute(statement)).all()
        phones = [BlockedPhone(row.phone, row.reason, row.created_at_ms) for row in rows]
        kept, token = pages.cut(phones, page.size, lambda one: (int(one.phone),))
        return BlockPage(kept, token)


def _e164(written: str) -> str:
    phone = normalise(written)
    if phone is None:
        raise refused_phone(written)
    return phone.e164


def _not_found(message: str) -> DomainError:
    return DomainError(grpc.StatusCode.NOT_FOUND, "SMS_NOT_FOUND", message)


def _not_cancellable(message: str) -> DomainError:
    return DomainError(grpc.StatusCode.FAILED_PRECONDITION, "SMS_NOT_CANCELLABLE", message)
