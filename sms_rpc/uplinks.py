"""Messages from handsets. An unsubscribe puts the phone on the block list of the brand that wrote to it last."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.ids import IdAllocator
from sms_rpc.domain import RecordStatus
from sms_rpc.tables import block, record, uplink, uplink_part

UNSUBSCRIBE_WORDS = frozenset({"T", "TD", "退订", "TD退订", "T退订"})
"""Whole texts that unsubscribe, in any case and with spaces around (ChuangLan's rule, and the carriers')."""

PARTS_SECONDS_MAX = 86_400
"""After this a part belongs to another message: handsets number long messages by one octet or two, and begin anew."""

log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class Uplink:
    """One message, or one part of it when `part_count` is more than 1. `sent_at` is the provider's own spelling."""

    phone: str
    content: str
    destination: str
    sent_at: str
    part_group: str = ""
    part_number: int = 0
    part_count: int = 0


class Uplinks:
    """Keeps what handsets send, each message once."""

    def __init__(self, database: Database, ids: IdAllocator) -> None:
        self._database = database
        self._ids = ids

    async def record_all(self, uplinks: Sequence[Uplink]) -> int:
        """Keep messages and join parts; answer how many phones were put on a block list."""
        first_id = await self._ids.allocate(len(uplinks))
        blocked = 0
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            for uplink_id, one in enumerate(map(_storable, uplinks), first_id):
                whole = one if one.part_count <= 1 else await self._join(connection, one, now_ms)
                if whole is None:
                    continue
                brand_id = await _last_brand(connection, one.phone)
                is_new = await self._keep(connection, uplink_id, brand_id, whole, now_ms)
                if is_new and whole.content.strip().upper() in UNSUBSCRIBE_WORDS:
                    blocked += await self._block(connection, brand_id, one.phone, now_ms)
        return blocked

    async def _keep(self, connection: AsyncConnection, uplink_id: int, brand_id: int, one: Uplink, now_ms: int) -> bool:
        """Keep a message; answer whether it is a new one."""
        fingerprint = _fingerprint(one)
        known = sa.select(uplink.c.uplink_id).where(uplink.c.fingerprint == fingerprint)
        if (await connection.execute(known)).first() is not None:
            return False
        row = {
            "uplink_id": uplink_id,
            "fingerprint": fingerprint,
            "brand_id": brand_id,
            "phone": one.phone,
            "content": one.content,
            "destination": one.destination,
            "received_at_ms": now_ms,
        }
        await self._database.insert_ignore(connection, uplink, [row])
        return True

    async def _join(self, connection: AsyncConnection, part: Uplink, now_ms: int) -> Uplink | None:
        """Keep a part; answer the whole message once all parts are there.

        The parts stay for a day, so that one that is pushed again completes the same message: the one whose first part
        came at the same time.
        """
        is_of_group = sa.and_(uplink_part.c.phone == part.phone, uplink_part.c.part_group == part.part_group)
        is_over = uplink_part.c.received_at_ms <= now_ms - PARTS_SECONDS_MAX * 1000
        await connection.execute(sa.delete(uplink_part).where(is_of_group, is_over))
        row = {
            "phone": part.phone,
            "part_group": part.part_group,
            "part_number": part.part_number,
            "part_count": part.part_count,
            "content": part.content,
            "received_at_ms": now_ms,
        }
        await self._database.insert_ignore(connection, uplink_part, [row])
        statement = sa.select(uplink_part).where(is_of_group).order_by(uplink_part.c.part_number)
        parts = (await connection.execute(statement)).all()
        if len(parts) < part.part_count:
            return None
        first_at_ms = min(one.received_at_ms for one in parts)
        return replace(part, content="".join(one.content for one in parts), sent_at=str(first_at_ms))

    async def _block(self, connection: AsyncConnection, brand_id: int, phone: str, now_ms: int) -> int:
        if not brand_id:
            log.warning("an unsubscribe names no brand that wrote to the phone")
            return 0
        row = {"brand_id": brand_id, "phone": phone, "reason": "unsubscribed by message", "created_at_ms": now_ms}
        await self._database.insert_ignore(connection, block, [row])
        return 1


async def _last_brand(connection: AsyncConnection, phone: str) -> int:
    """Answer the brand whose message was last submitted to the phone; 0 if there is none."""
    was_sent = sa.or_(record.c.status != RecordStatus.FAILED.value, record.c.submitted_at_ms > 0)
    statement = (
        sa.select(record.c.brand_id)
        .where(record.c.phone == phone, record.c.charged_at_ms > 0, was_sent)
        .order_by(record.c.charged_at_ms.desc(), record.c.record_id.desc())
        .limit(1)
    )
    return (await connection.execute(statement)).scalar() or 0


def _storable(one: Uplink) -> Uplink:
    """Leave out what PostgreSQL cannot store."""
    return replace(one, content=one.content.replace("\0", ""), destination=one.destination.replace("\0", ""))


def _fingerprint(one: Uplink) -> str:
    text = repr((one.phone, one.destination, one.sent_at, one.part_group, one.content))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
