"""What apps ask of calls after they were sent: look them up, list them, cancel what is not sent yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import grpc

from mesh import pages
from mesh.database import Database
from mesh.errors import DomainError
from messagecenter_rpc import storage
from messagecenter_rpc.domain import Call, Record, RecordEvent

SHOWN_MAX = 1000
"""Records that are shown together with their call."""

_ALL_IDS = (1 << 63) - 1


class Calls:
    """Queries and cancels. Another brand's call is not found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, brand_id: int, call_id: int) -> tuple[Call, Sequence[Record]]:
        """Read a call and its first 1,000 records in the order of their times. Raises IM_CALL_NOT_FOUND."""
        async with self._database.read() as connection:
            call = found(await storage.read_call(connection, brand_id, call_id), call_id)
            return call, await storage.read_records(connection, call, after_id=0, limit=SHOWN_MAX)

    async def list(self, brand_id: int, shop_id: int, page: pages.PageRequest) -> tuple[Sequence[Call], str]:
        """Read a page of calls, newest first, and the token of the next."""
        (before_id,) = page.after(1) or (_ALL_IDS,)
        async with self._database.read() as connection:
            calls = await storage.list_calls(
                connection, brand_id, shop_id=shop_id, before_id=before_id, limit=page.size + 1
            )
        return pages.cut(calls, page.size, lambda call: (call.call_id,))

    async def list_records(self, brand_id: int, call_id: int, page: pages.PageRequest) -> tuple[Sequence[Record], str]:
        """Read a page of a call's records in the order of their times, and the token of the next."""
        (after_id,) = page.after(1) or (0,)
        async with self._database.read() as connection:
            call = found(await storage.read_call(connection, brand_id, call_id), call_id)
            records = await storage.read_records(connection, call, after_id=after_id, limit=page.size + 1)
        return pages.cut(records, page.size, lambda record: (record.record_id,))

    async def cancel(self, brand_id: int, call_id: int) -> tuple[Call, int]:
        """Cancel what nobody is sending; answer the call, and how many of its records are cancelled, now or before."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            call = found(await storage.read_call(connection, brand_id, call_id, for_update=True), call_id)
            if not call.cancelled_at_ms:
                call = replace(call, cancelled_at_ms=now_ms)
                await storage.set_cancelled(connection, call_id, now_ms)
                open_ids = await storage.lock_open_ids(connection, call)
                await storage.move(connection, RecordEvent.CANCEL, open_ids, ended_at_ms=now_ms)
            return call, await storage.count_cancelled(connection, call)


def found(call: Call | None, call_id: int) -> Call:
    """Answer a call that was read. Raises IM_CALL_NOT_FOUND when there is none."""
    if call is None:
        raise DomainError(grpc.StatusCode.NOT_FOUND, "IM_CALL_NOT_FOUND", f"no call {call_id}")
    return call
