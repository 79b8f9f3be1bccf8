"""Messages from handsets. An unsubscribe puts the phone on the block list of the brand that wrote to it last."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.ids import IdAllocator
from sms_rpc.domain import RecordStatus
from sms_rpc.tables import block, record, uplink, uplink_part

UNSUBSCRIBE_WORDS = frozenset({"T", "TD", "退订", "TD退订", "T退订"})
"""Whole texts that unsubscribe, in any case and with spaces around (ChuangLan's rule, and the carriers')."""

_NEVER_SENT = (RecordStatus.BLOCKED.value, RecordStatus.CANCELLED.value)

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
            for position, one in enumerate(uplinks):
                content = one.content
                if one.part_count > 1:
                    joined = await self._join(connection, one, now_ms)
                    if joined is None:
                        continue
                    content = joined
                brand_id = await _last_brand(connection, one.phone)
                row = {
                    "uplink_id": first_id + position,
                    "fingerprint": _fingerprint(one, content),
                    "brand_id": brand_id,
                    "phone": one.phone,
                    "content": content,
                    "destination": one.destination,
                    "received_at_ms": now_ms,
                }
                await self._database.insert_ignore(connection, uplink, [row])
                if content.strip().upper() in UNSUBSCRIBE_WORDS:
                    blocked += await self._block(connection, brand_id, one.phone, now_ms)
        return blocked

    async def _join(self, connection: AsyncConnection, part: Uplink, now_ms: int) -> str | None:
        """Keep a part; answer the whole text once all parts are there."""
        row = {
            "phone": part.phone,
            "part_group": part.part_group,
            "part_number": part.part_number,
            "part_count": part.part_count,
            "content": part.content,
            "received_at_ms": now_ms,
        }
        await self._database.insert_ignore(connection, uplink_part, [row])
        statement = (
            sa.select(uplink_part.c.content)
            .where(uplink_part.c.phone == part.phone, uplink_part.c.part_group == part.part_group)
            .order_by(uplink_part.c.part_number)
        )
        parts = list((await connection.execute(statement)).scalars())
        return "".join(parts) if len(parts) >= part.part_count else None

    async def _block(self, connection: AsyncConnection, brand_id: int, phone: str, now_ms: int) -> int:
        if not brand_id:
            log.warning("an unsubscribe names no brand that wrote to the phone")
            return 0
        row = {"brand_id": brand_id, "phone": phone, "reason": "unsubscribed by message", "created_at_ms": now_ms}
        await self._database.insert_ignore(connection, block, [row])
        return 1


async def _last_brand(connection: AsyncConnection, phone: str) -> int:
    statement = (
        sa.select(record.c.brand_id)
        .where(record.c.phone == phone, record.c.status.not_in(_NEVER_SENT))
        .order_by(record.c.record_id.desc())
        .limit(1)
    )
    return (await connection.execute(statement)).scalar() or 0


def _fingerprint(one: Uplink, content: str) -> str:
    text = repr((one.phone, one.destination, one.sent_at, one.part_group, content))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
