"""Comparing Redis with the rows, by the clock, and repairing it.

They differ for good only where a process or Redis has ended between the two. What is under way looks the same for a
moment, so a sale is repaired only if nothing happened to it in Redis while its rows were read.
"""

from __future__ import annotations

from prometheus_client import Counter

from mesh import telemetry
from mesh.database import Database
from order_rpc.flash_sale import storage
from order_rpc.flash_sale.admission import KEPT_AFTER_END_MS, Admission, Outcome, Seen, Settled
from order_rpc.flash_sale.domain import HOLDING, FlashSale
from order_rpc.flash_sale.loading import Loading

PENDING_OLD_MS = 30_000
"""What was admitted so long ago is written by now, or never: no call takes longer."""

OLD_MAX = 500

log = telemetry.logger(part="flash sales")

_repairs = Counter("brandmesh_flash_sale_repairs", "Flash sales whose admission had drifted from their rows")


class Repair:
    """Goes through the sales that Redis may know, a few at a time, in turn."""

    def __init__(self, database: Database, admission: Admission, loading: Loading) -> None:
        self._database = database
        self._admission = admission
        self._loading = loading
        self._after_id = 0

    async def run(self, sales_max: int, *, old_ms: int = PENDING_OLD_MS) -> int:
        """Look at the next sales; answer how many were repaired. Raises ADMISSION_UNAVAILABLE."""
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            sale_ids = await storage.list_open_sale_ids(
                connection, ending_after_ms=now_ms - KEPT_AFTER_END_MS, after_id=self._after_id, limit=sales_max
            )
        self._after_id = sale_ids[-1] if len(sale_ids) == sales_max else 0
        return sum([await self._look_at(sale_id, old_ms) for sale_id in sale_ids])

    async def _look_at(self, flash_sale_id: int, old_ms: int) -> bool:
        seen = await self._admission.look(flash_sale_id, old_ms, OLD_MAX)
        if seen is None:
            return False
        settled = bool(seen.old) and await self._settle_old(flash_sale_id, seen)
        if settled:
            seen = await self._admission.look(flash_sale_id, old_ms, OLD_MAX)
        return settled if seen is None else await self._compare(flash_sale_id, seen) or settled

    async def _settle_old(self, flash_sale_id: int, seen: Seen) -> bool:
        """Settle what was admitted and never heard of again by what its row says, if it has one."""
        async with self._database.read() as connection:
            rows = await storage.read_attempts_of_users(connection, flash_sale_id, {user_id for user_id, _ in seen.old})
        outcomes = {
            (row.user_id, row.request_id): Outcome.KEPT if row.status in HOLDING else Outcome.KNOWN for row in rows
        }
        settled = [Settled(*request, outcomes.get(request, Outcome.UNDONE)) for request in seen.old]
        await self._admission.settle(flash_sale_id, settled)
        undone = sum(one.outcome is Outcome.UNDONE for one in settled)
        if undone:
            log.warning("admissions without a row given back", flash_sale_id=flash_sale_id, admissions=undone)
        return undone > 0

    async def _compare(self, flash_sale_id: int, seen: Seen) -> bool:
        async with self._database.read() as connection:
            sale = (await storage.read_sales(connection, [flash_sale_id]))[flash_sale_id]
        if seen.pending_count or _agree(seen, sale):
            return False
        if not await self._loading.reload(flash_sale_id, seen.version):
            return False
        _repairs.inc()
        log.warning(
            "flash sale repaired",
            flash_sale_id=flash_sale_id,
            left_in_redis=seen.left_number,
            left_in_rows=sale.left_number,
        )
        return True


def _agree(seen: Seen, sale: FlashSale) -> bool:
    return (seen.left_number, seen.revision) == (sale.left_number, sale.revision)
