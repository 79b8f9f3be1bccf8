"""What is shown of wallets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh import pages
from mesh.database import Database
from order_rpc.wallet import storage
from order_rpc.wallet.domain import MoneyLog, Wallet


@dataclass(frozen=True, slots=True)
class MoneyLogPage:
    logs: Sequence[MoneyLog]
    next_page_token: str


class Wallets:
    """The wallets of users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user_id: int, brand_id: int) -> Wallet:
        """Read a wallet; one that never had coins is empty."""
        async with self._database.read() as connection:
            return await storage.read_wallet(connection, user_id, brand_id)

    async def list_logs(self, user_id: int, brand_id: int, page: pages.PageRequest) -> MoneyLogPage:
        """Read a page of the changes of a wallet, newest first."""
        after = page.after(1)
        async with self._database.read() as connection:
            logs = await storage.list_logs(
                connection, user_id, brand_id, before_seq=after[0] if after else None, limit=page.size + 1
            )
        kept, token = pages.cut(logs, page.size, lambda log: (log.seq,))
        return MoneyLogPage(kept, token)
