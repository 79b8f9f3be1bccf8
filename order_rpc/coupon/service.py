"""Coupons: the use cases of those who give them, and of those who have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh import pages
from mesh.database import Database
from mesh.errors import invalid_field
from mesh.ids import IdAllocator
from mesh.timestamps import MS_MAX
from order_rpc.coupon import refusals, storage, tables
from order_rpc.coupon.domain import Coupon


@dataclass(frozen=True, slots=True)
class CouponPage:
    coupons: Sequence[Coupon]
    next_page_token: str


class Coupons:
    """The coupons of users. Another user's or another brand's are not found."""

    def __init__(self, database: Database, ids: IdAllocator) -> None:
        self._database = database
        self._ids = ids

    async def issue(
        self, brand_id: int, user_id: int, request_id: str, coupon_price_fen: int, expire_time_ms: int
    ) -> Coupon:
        """Give a coupon to a user; the same request gets what it made.

        Raises KEY_REUSED, and INVALID_REQUEST for one that is worth nothing or has expired already.
        """
        if coupon_price_fen == 0:
            raise invalid_field("coupon_price", "must be more than 0")
        coupon_id = await self._ids.allocate(1)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            wanted = Coupon(
                coupon_id, brand_id, user_id, request_id, coupon_price_fen, False, 0, 0, expire_time_ms, now_ms
            )
            found = await storage.read_coupon_of_request(connection, brand_id, request_id)
            if found is None:
                _check_expire_time(expire_time_ms, now_ms)
                await self._database.insert_ignore(connection, tables.coupon, [storage.coupon_row(wanted)])
                found = await storage.read_coupon_of_request(connection, brand_id, request_id)
        if found is None or not found.was_asked_alike(wanted):
            raise refusals.key_reused(request_id)
        return found

    async def get(self, brand_id: int, user_id: int, coupon_id: int) -> Coupon:
        """Read one coupon. Raises COUPON_NOT_FOUND."""
        async with self._database.read() as connection:
            coupon = await storage.read_coupon(connection, coupon_id)
        if coupon is None or (coupon.brand_id, coupon.user_id) != (brand_id, user_id):
            raise refusals.coupon_not_found(coupon_id)
        return coupon

    async def list(self, brand_id: int, user_id: int, page: pages.PageRequest, *, usable_only: bool) -> CouponPage:
        """Read a page of a user's coupons, newest first."""
        after = page.after(1)
        async with self._database.read() as connection:
            coupons = await storage.list_coupons(
                connection,
                brand_id,
                user_id,
                usable_at_ms=await self._database.now_ms(connection) if usable_only else None,
                before_id=after[0] if after else None,
                limit=page.size + 1,
            )
        kept, token = pages.cut(coupons, page.size, lambda one: (one.coupon_id,))
        return CouponPage(kept, token)


def _check_expire_time(expire_time_ms: int, now_ms: int) -> None:
    if expire_time_ms <= now_ms:
        raise invalid_field("expire_time", "must be in the future")
    if expire_time_ms > MS_MAX:
        raise invalid_field("expire_time", "must be no later than the year 9999")
