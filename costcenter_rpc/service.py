"""The use cases of the cost center that are more than one ledger operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costcenter_rpc import queries, tables
from costcenter_rpc.domain import Account, Entry, ExpireFreeze, ExpireLots, Freeze, Lot, Refusal
from costcenter_rpc.ledger import Ledger, account_not_found, as_error
from mesh import pages
from mesh.database import Database


@dataclass(frozen=True, slots=True)
class LotPage:
    lots: Sequence[Lot]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class EntryPage:
    entries: Sequence[Entry]
    next_page_token: str


class CostCenter:
    """Accounts, queries, and the jobs that run by the clock."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def open_account(self, brand_id: int) -> Account:
        """Open a brand's account, or answer with the one it has."""
        empty = {"available": 0, "frozen": 0, "spent": 0, "expired": 0, "granted": 0, "seq": 0}
        async with self._database.write() as connection:
            await self._database.insert_ignore(connection, tables.account, [{"brand_id": brand_id, **empty}])
        return await self.get_account(brand_id)

    async def get_account(self, brand_id: int) -> Account:
        """Read a balance, with due packages written off. Raises ACCOUNT_NOT_FOUND."""
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            due = await queries.brands_with_due_lots(connection, now_ms=now_ms, limit=1, brand_id=brand_id)
            account = await queries.read_account(connection, brand_id)
        if due:
            await self._ledger.apply(ExpireLots(brand_id))
            async with self._database.read() as connection:
                account = await queries.read_account(connection, brand_id)
        if account is None:
            raise account_not_found(brand_id)
        return account

    async def get_freeze(self, brand_id: int, freeze_id: str) -> Freeze:
        """Read one freeze. Raises FREEZE_NOT_FOUND, for another brand's freeze too."""
        async with self._database.read() as connection:
            freeze = await queries.read_freeze(connection, brand_id, freeze_id)
        if freeze is None:
            raise as_error(Refusal("FREEZE_NOT_FOUND", f"no freeze {freeze_id}"))
        return freeze

    async def list_lots(self, brand_id: int, page: pages.PageRequest, *, show_exhausted: bool) -> LotPage:
        """Read a page of packages in the order in which they are consumed."""
        await self.get_account(brand_id)
        after = page.after(2) or (0, 0)
        async with self._database.read() as connection:
            lots = await queries.list_lots(
                connection,
                brand_id,
                after=(after[0], after[1]),
                limit=page.size + 1,
                show_exhausted=show_exhausted,
            )
        kept, token = pages.cut(lots, page.size, lambda lot: lot.order)
        return LotPage(kept, token)

    async def list_entries(self, brand_id: int, page: pages.PageRequest) -> EntryPage:
        """Read a page of the statement, by seq."""
        await self.get_account(brand_id)
        after = page.after(1) or (0,)
        async with self._database.read() as connection:
            entries = await queries.list_entries(connection, brand_id, after_seq=after[0], limit=page.size + 1)
        kept, token = pages.cut(entries, page.size, lambda entry: (entry.seq,))
        return EntryPage(kept, token)

    async def expire_lots(self, accounts_max: int) -> int:
        """Write off due packages of up to `accounts_max` accounts; answer how many had some."""
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            brand_ids = await queries.brands_with_due_lots(connection, now_ms=now_ms, limit=accounts_max)
        await _all_or_raise(self._ledger, [ExpireLots(brand_id) for brand_id in brand_ids])
        return len(brand_ids)

    async def expire_freezes(self, freezes_max: int) -> int:
        """Release up to `freezes_max` freezes past their time; answer how many there were."""
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            due = await queries.due_freezes(connection, now_ms=now_ms, limit=freezes_max)
        await _all_or_raise(self._ledger, [ExpireFreeze(brand_id, freeze_id) for brand_id, freeze_id in due])
        return len(due)


async def _all_or_raise(ledger: Ledger, operations: Sequence[ExpireLots | ExpireFreeze]) -> None:
    for answer in await ledger.apply_all(operations):
        if isinstance(answer, BaseException):
            raise answer
