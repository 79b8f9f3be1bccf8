"""Orders and the catalogue: the use cases of those who buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import pages
from mesh.database import Database
from mesh.ids import IdAllocator
from order_rpc.sms_package import refusals, storage, tables
from order_rpc.sms_package.cancelling import Cancelling
from order_rpc.sms_package.domain import Order, OrderStatus, Package


@dataclass(frozen=True, slots=True)
class OrderPage:
    orders: Sequence[Order]
    next_page_token: str


class Orders:
    """The orders of brands. Another brand's order is not found."""

    def __init__(self, database: Database, ids: IdAllocator, cancelling: Cancelling, lifetime_ms: int) -> None:
        self._database = database
        self._ids = ids
        self._cancelling = cancelling
        self._lifetime_ms = lifetime_ms

    async def create(self, brand_id: int, request_id: str, package_id: str, quantity: int) -> Order:
        """Order a package; the same request gets the order that it made. Raises PACKAGE_NOT_FOUND, KEY_REUSED."""
        order_id = await self._ids.allocate(1)
        async with self._database.write() as connection:
            order = await storage.read_order_of_request(connection, brand_id, request_id)
            if order is None:
                package = await storage.read_package(connection, package_id)
                if package is None:
                    raise refusals.package_not_found(package_id)
                now_ms = await self._database.now_ms(connection)
                order = Order(
                    order_id=order_id,
                    brand_id=brand_id,
                    request_id=request_id,
                    status=OrderStatus.CREATED,
                    package=package,
                    quantity=quantity,
                    created_at_ms=now_ms,
                    expires_at_ms=now_ms + self._lifetime_ms,
                )
                # The same request in another process may be first: then its order is the one.
                await self._database.insert_ignore(connection, tables.orders, [storage.order_row(order)])
                order = await storage.read_order_of_request(connection, brand_id, request_id) or order
        if (order.package.package_id, order.quantity) != (package_id, quantity):
            raise refusals.key_reused(request_id)
        return order

    async def get(self, brand_id: int, order_id: int) -> Order:
        """Read one order with its payment. Raises ORDER_NOT_FOUND."""
        async with self._database.read() as connection:
            return await _read(connection, brand_id, order_id)

    async def list(self, brand_id: int, page: pages.PageRequest) -> OrderPage:
        """Read a page of a brand's orders, newest first."""
        after = page.after(1)
        async with self._database.read() as connection:
            orders = await storage.list_orders(
                connection, brand_id, before_id=after[0] if after else None, limit=page.size + 1
            )
        kept, token = pages.cut(orders, page.size, lambda order: (order.order_id,))
        return OrderPage(kept, token)

    async def cancel(self, brand_id: int, order_id: int) -> Order:
        """Cancel an unpaid order and have its payment closed; a repeat answers the same.

        Raises ORDER_NOT_FOUND, ORDER_NOT_CANCELLABLE.
        """
        async with self._database.write() as connection:
            await _read(connection, brand_id, order_id)
            await self._cancelling.cancel(connection, [order_id])
            order = await _read(connection, brand_id, order_id)
        if order.status is not OrderStatus.CANCELLED:
            raise refusals.order_not_cancellable(order)
        await self._cancelling.publish()
        return order

    async def list_packages(self) -> Sequence[Package]:
        """Read the catalogue by price."""
        async with self._database.read() as connection:
            return await storage.list_packages(connection)

    async def put_package(self, package: Package) -> Package:
        """Put a package into the catalogue, or change it for later orders."""
        async with self._database.write() as connection:
            await self._database.insert_ignore(connection, tables.package, [storage.package_row(package)])
            await storage.update_package(connection, package)
        return package


async def _read(connection: AsyncConnection, brand_id: int, order_id: int) -> Order:
    order = await storage.read_order(connection, order_id)
    if order is None or order.brand_id != brand_id:
        raise refusals.order_not_found(order_id)
    return order
