"""Telling Redis of a sale from its rows."""

from __future__ import annotations

from mesh.database import Database
from order_rpc.flash_sale import storage
from order_rpc.flash_sale.admission import Admission


class Loading:
    """Reads sales from their rows, each under its lock, so that what is read agrees."""

    def __init__(self, database: Database, admission: Admission) -> None:
        self._database = database
        self._admission = admission

    async def load(self, flash_sale_id: int) -> bool:
        """Tell Redis of a sale that somebody wants to buy of and it does not know; answer whether there is one."""
        async with self._database.read() as connection:
            # Before the lock: nobody is to wait for the sake of a sale that does not exist.
            if flash_sale_id not in await storage.read_sales(connection, [flash_sale_id]):
                return False
        await self._tell(flash_sale_id, version="", may_be_new=True)
        return True

    async def reload(self, flash_sale_id: int, version: str = "") -> bool:
        """Tell Redis anew of a sale that it knows still, of `version` or of an older revision; answer whether it did.

        What Redis does not know nobody has asked for: told of each sale by its seller alone, it would fill up. Who has
        read a sale just before its edit may tell Redis of it just after; the repair makes up for that.
        """
        return await self._tell(flash_sale_id, version=version, may_be_new=False)

    async def _tell(self, flash_sale_id: int, *, version: str, may_be_new: bool) -> bool:
        async with self._database.write() as connection:
            sale = (await storage.lock_sales(connection, [flash_sale_id]))[flash_sale_id]
            holding = await storage.read_holding(connection, flash_sale_id)
            now_ms = await self._database.now_ms(connection)
        return await self._admission.load(sale, holding, now_ms, version=version, may_be_new=may_be_new)
