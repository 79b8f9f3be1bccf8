"""Flash sales: the use cases of those who sell, and of those who look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import pages, telemetry
from mesh.database import Database
from mesh.errors import DomainError, invalid_field
from mesh.ids import IdAllocator
from order_rpc.flash_sale import refusals, storage, tables
from order_rpc.flash_sale.domain import Attempt, Buyer, FlashSale
from order_rpc.flash_sale.loading import Loading
from order_rpc.plain_text import read_name, read_text

AHEAD_DAYS_MAX = 365
"""How far ahead a sale may start."""

LASTING_DAYS_MAX = 90
"""How long it may go on. One that is open stands in everybody's list, and is compared with Redis again and again."""

_DAY_MS = 86_400_000

log = telemetry.logger(part="flash sales")


@dataclass(frozen=True, slots=True)
class Description:
    """What a flash sale is, as its seller says it."""

    goods_name: str
    goods_desc: str
    price_fen: int
    goods_number: int
    per_user_limit: int
    start_time_ms: int
    end_time_ms: int
    notify_email: str


@dataclass(frozen=True, slots=True)
class FlashSalePage:
    flash_sales: Sequence[FlashSale]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class AttemptPage:
    attempts: Sequence[Attempt]
    next_page_token: str


class FlashSales:
    """The flash sales of brands. Another brand's are not found, and another user's attempts neither."""

    def __init__(self, database: Database, ids: IdAllocator, loading: Loading) -> None:
        self._database = database
        self._ids = ids
        self._loading = loading

    async def create(self, brand_id: int, seller_id: int, request_id: str, description: Description) -> FlashSale:
        """Publish a flash sale; the same request gets what it made. Raises KEY_REUSED, INVALID_REQUEST."""
        flash_sale_id = await self._ids.allocate(1)
        async with self._database.write() as connection:
            found = await storage.read_sale_of_request(connection, brand_id, seller_id, request_id)
            now_ms = await self._database.now_ms(connection)
            if found is None:
                _check(description, now_ms)
                wanted = _new_sale(flash_sale_id, (brand_id, seller_id, request_id), description, now_ms)
                await self._database.insert_ignore(connection, tables.flash_sale, [storage.sale_row(wanted)])
                found = await storage.read_sale_of_request(connection, brand_id, seller_id, request_id)
        # After an edit it cannot be told what the request asked for.
        if found is None or (found.revision == 1 and _describe(found) != description):
            raise refusals.key_reused(request_id)
        return found

    async def update(self, brand_id: int, seller_id: int, flash_sale_id: int, description: Description) -> FlashSale:
        """Describe a flash sale anew. Raises FLASH_SALE_NOT_FOUND, NOT_THE_SELLER, FLASH_SALE_STARTED."""
        async with self._database.write() as connection:
            sale = (await storage.lock_sales(connection, [flash_sale_id])).get(flash_sale_id)
            if sale is None or sale.brand_id != brand_id:
                raise refusals.flash_sale_not_found(flash_sale_id)
            if sale.seller_id != seller_id:
                raise refusals.not_the_seller(flash_sale_id)
            now_ms = await self._database.now_ms(connection)
            if now_ms >= sale.start_time_ms:
                raise refusals.flash_sale_started(flash_sale_id)
            _check(description, now_ms)
            values = {name: getattr(description, name) for name in Description.__slots__}
            # Nothing of it can be taken yet.
            own = {"left_number": description.goods_number, "revision": sale.revision + 1}
            await storage.update_sale(connection, flash_sale_id, {**values, **own})
            changed = await _read(connection, brand_id, flash_sale_id)
        try:
            await self._loading.reload(flash_sale_id)
        except DomainError as error:
            log.warning("an edit waits for the repair", flash_sale_id=flash_sale_id, error=str(error))
        return changed

    async def get(self, brand_id: int, flash_sale_id: int) -> FlashSale:
        """Read a flash sale. Raises FLASH_SALE_NOT_FOUND."""
        async with self._database.read() as connection:
            return await _read(connection, brand_id, flash_sale_id)

    async def list(self, brand_id: int, page: pages.PageRequest, *, open_only: bool) -> FlashSalePage:
        """Read a page of a brand's flash sales, newest first."""
        after = page.after(1)
        async with self._database.read() as connection:
            sales = await storage.list_sales(
                connection,
                brand_id,
                ending_after_ms=await self._database.now_ms(connection) if open_only else 0,
                before_id=after[0] if after else None,
                limit=page.size + 1,
            )
        kept, token = pages.cut(sales, page.size, lambda sale: (sale.flash_sale_id,))
        return FlashSalePage(kept, token)

    async def get_attempt(self, buyer: Buyer, attempt_id: int) -> Attempt:
        """Read an attempt. Raises ATTEMPT_NOT_FOUND."""
        async with self._database.read() as connection:
            found = (await storage.read_attempts(connection, [attempt_id])).get(attempt_id)
        if found is None or Buyer(found.brand_id, found.user_id, found.flash_sale_id) != buyer:
            raise refusals.attempt_not_found(attempt_id)
        return found

    async def list_attempts(self, buyer: Buyer, page: pages.PageRequest) -> AttemptPage:
        """Read a page of a user's attempts in a flash sale, newest first."""
        after = page.after(1)
        async with self._database.read() as connection:
            attempts = await storage.list_attempts(
                connection, buyer, before_id=after[0] if after else None, limit=page.size + 1
            )
        kept, token = pages.cut(attempts, page.size, lambda one: (one.attempt_id,))
        return AttemptPage(kept, token)


def _check(description: Description, now_ms: int) -> None:
    read_name(description.goods_name, "goods_name")
    read_text(description.goods_desc, "goods_desc")
    if description.start_time_ms < 0:
        raise invalid_field("start_time", "must be no earlier than 1970")
    if description.start_time_ms > now_ms + AHEAD_DAYS_MAX * _DAY_MS:
        raise invalid_field("start_time", f"must be no later than {AHEAD_DAYS_MAX} days from now")
    if description.start_time_ms >= description.end_time_ms:
        raise invalid_field("end_time", "must be later than start_time")
    if description.end_time_ms <= now_ms:
        raise invalid_field("end_time", "must be in the future")
    if description.end_time_ms > description.start_time_ms + LASTING_DAYS_MAX * _DAY_MS:
        raise invalid_field("end_time", f"must be no later than {LASTING_DAYS_MAX} days after start_time")


def _new_sale(flash_sale_id: int, asked: tuple[int, int, str], description: Description, now_ms: int) -> FlashSale:
    brand_id, seller_id, request_id = asked
    return FlashSale(
        flash_sale_id=flash_sale_id,
        brand_id=brand_id,
        seller_id=seller_id,
        request_id=request_id,
        goods_name=description.goods_name,
        goods_desc=description.goods_desc,
        price_fen=description.price_fen,
        goods_number=description.goods_number,
        left_number=description.goods_number,
        per_user_limit=description.per_user_limit,
        start_time_ms=description.start_time_ms,
        end_time_ms=description.end_time_ms,
        notify_email=description.notify_email,
        revision=1,
        add_time_ms=now_ms,
    )


def _describe(sale: FlashSale) -> Description:
    return Description(*(getattr(sale, name) for name in Description.__slots__))


async def _read(connection: AsyncConnection, brand_id: int, flash_sale_id: int) -> FlashSale:
    sale = (await storage.read_sales(connection, [flash_sale_id])).get(flash_sale_id)
    if sale is None or sale.brand_id != brand_id:
        raise refusals.flash_sale_not_found(flash_sale_id)
    return sale
