"""What order_rmq has done of grants: it reads what is paid, and records what was granted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from mesh.database import Database
from mesh.statements import IN_MAX
from order_rpc.sms_package import storage
from order_rpc.sms_package.domain import Order, OrderStatus
from order_rpc.sms_package.refusals import grant_refused


class Grants:
    """The orders that are paid, and the lots that their credits became."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def paid_orders(self, order_ids: Sequence[int]) -> list[Order]:
        """Read those of the orders that are paid and not granted."""
        async with self._database.read() as connection:
            orders = await storage.read_orders(connection, set(order_ids))
        return [order for order in orders if order.status is OrderStatus.PAID]

    async def record(self, lots: Mapping[int, str]) -> None:
        """Record grants as order_id -> lot_id; a repeat changes nothing. One that is refused lets none be recorded.

        Raises GRANT_REFUSED for an order that is not there or not paid, or was granted as another lot.
        """
        async with self._database.write() as connection:
            remaining = iter(lots.items())
            while chunk := dict(islice(remaining, IN_MAX)):
                await storage.record_grants(connection, chunk)
            orders = {order.order_id: order for order in await storage.read_orders(connection, lots)}
            for order_id, lot_id in lots.items():
                _check_granted(order_id, lot_id, orders.get(order_id))


def _check_granted(order_id: int, lot_id: str, order: Order | None) -> None:
    if order is None:
        raise grant_refused(order_id, lot_id, "there is no such order")
    if order.status is not OrderStatus.FULFILLED:
        raise grant_refused(order_id, lot_id, f"it is {order.status}")
    if order.lot_id != lot_id:
        raise grant_refused(order_id, lot_id, f"it was granted as lot {order.lot_id}")
