"""Goods: the use cases of those who sell."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import pages
from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.ids import IdAllocator
from order_rpc.goods import refusals, storage, tables
from order_rpc.goods.domain import Goods, StockLog, sha256_of_request

READS_MAX = 200
PENDING_MAX = 20_000


@dataclass(frozen=True, slots=True)
class GoodsPage:
    goods: Sequence[Goods]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class StockLogPage:
    logs: Sequence[StockLog]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Description:
    """What goods are, apart from their stock."""

    goods_name: str
    goods_price_fen: int
    goods_desc: str
    on_sale: bool


class GoodsCatalogue:
    """The goods of brands. Another brand's goods are not found."""

    def __init__(self, database: Database, ids: IdAllocator) -> None:
        self._database = database
        self._ids = ids
        self._reading: Coalescer[Collection[int], list[Goods]] = Coalescer(
            self._read_all, name="the goods", batch_max=READS_MAX, pending_max=PENDING_MAX
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._reading.close()

    async def create(self, brand_id: int, request_id: str, description: Description, goods_number: int) -> Goods:
        """Add goods; the same request gets what it made. Raises KEY_REUSED."""
        goods_id = await self._ids.allocate(1)
        asked = sha256_of_request(*asdict(description).values(), goods_number)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            wanted = Goods(
                goods_id, brand_id, request_id, asked, description.goods_name, goods_number,
                description.goods_price_fen, description.goods_desc, description.on_sale, now_ms,
            )  # fmt: skip
            await self._database.insert_ignore(connection, tables.goods, [storage.goods_row(wanted)])
            found = await storage.read_goods_of_request(connection, brand_id, request_id)
            if found is not None and found.goods_id == goods_id and goods_number:
                await storage.insert_logs(connection, [(goods_id, 0, goods_number)], now_ms)
        if found is None or found.request_sha256 != asked:
            raise refusals.key_reused(request_id)
        return found

    async def update(self, brand_id: int, goods_id: int, description: Description) -> Goods:
        """Describe goods anew. Raises GOODS_NOT_FOUND."""
        async with self._database.write() as connection:
            await _read(connection, brand_id, goods_id)
            await storage.update_goods(connection, goods_id, asdict(description))
            return await _read(connection, brand_id, goods_id)

    async def adjust_stock(self, brand_id: int, goods_id: int, request_id: str, change: int) -> Goods:
        """Add to a stock or take from it; a repeat changes nothing. Raises GOODS_NOT_FOUND, STOCK_SHORT, KEY_REUSED."""
        async with self._database.write() as connection:
            # Locked first, so that of two equal requests the second sees what the first has written.
            goods = (await storage.lock_goods(connection, [goods_id])).get(goods_id)
            if goods is None or goods.brand_id != brand_id:
                raise refusals.goods_not_found(goods_id)
            known = await storage.read_adjustment(connection, brand_id, request_id)
            if known is None:
                known = await self._adjust(connection, goods, request_id, change)
            if known != (goods_id, change):
                raise refusals.key_reused(request_id)
            return await _read(connection, brand_id, goods_id)

    async def _adjust(
        self, connection: AsyncConnection, goods: Goods, request_id: str, change: int
    ) -> tuple[int, int] | None:
        """Change the stock of locked goods; answer what the request adjusted. Raises STOCK_SHORT."""
        left = goods.goods_number + change
        if left < 0:
            raise refusals.stock_short(goods.goods_id, goods.goods_number, -change)
        now_ms = await self._database.now_ms(connection)
        row = storage.adjustment_row(goods.brand_id, request_id, goods.goods_id, change)
        await self._database.insert_ignore(connection, tables.stock_adjustment, [row])
        await storage.write_stock(connection, {goods.goods_id: left})
        await storage.insert_logs(connection, [(goods.goods_id, 0, change)], now_ms)
        # The same request in another process may have been first, for other goods.
        return await storage.read_adjustment(connection, goods.brand_id, request_id)

    async def get(self, brand_id: int, goods_id: int) -> Goods:
        """Read some goods. Raises GOODS_NOT_FOUND."""
        async with self._database.read() as connection:
            return await _read(connection, brand_id, goods_id)

    async def get_many(self, brand_id: int, goods_ids: Collection[int]) -> list[Goods]:
        """Read those of the goods that the brand has, together with those that others want at this moment."""
        found = await self._reading.submit(goods_ids)
        return [one for one in found if one.brand_id == brand_id]

    async def _read_all(self, wanted: Sequence[Collection[int]]) -> Sequence[list[Goods]]:
        async with self._database.read() as connection:
            found = await storage.read_goods(connection, {goods_id for some in wanted for goods_id in some})
        return [[found[goods_id] for goods_id in set(some) if goods_id in found] for some in wanted]

    async def list(self, brand_id: int, page: pages.PageRequest, *, on_sale_only: bool) -> GoodsPage:
        """Read a page of a brand's goods, newest first."""
        after = page.after(1)
        async with self._database.read() as connection:
            goods = await storage.list_goods(
                connection,
                brand_id,
                on_sale_only=on_sale_only,
                before_id=after[0] if after else None,
                limit=page.size + 1,
            )
        kept, token = pages.cut(goods, page.size, lambda one: (one.goods_id,))
        return GoodsPage(kept, token)

    async def list_stock_logs(self, brand_id: int, goods_id: int, page: pages.PageRequest) -> StockLogPage:
        """Read a page of the changes of a stock, newest first. Raises GOODS_NOT_FOUND."""
        after = page.after(1)
        async with self._database.read() as connection:
            await _read(connection, brand_id, goods_id)
            logs = await storage.list_logs(connection, goods_id, after[0] if after else None, page.size + 1)
        kept, token = pages.cut(logs, page.size, lambda log: (log.log_id,))
        return StockLogPage(kept, token)


async def _read(connection: AsyncConnection, brand_id: int, goods_id: int) -> Goods:
    goods = (await storage.read_goods(connection, [goods_id])).get(goods_id)
    if goods is None or goods.brand_id != brand_id:
        raise refusals.goods_not_found(goods_id)
    return goods
