"""Orders: the use cases of those who buy and sell, once an order is placed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import pages
from mesh.database import Database
from mesh.errors import DomainError, invalid_field
from mesh.messages import NewMessage, Outbox
from mesh.money import to_yuan
from order_rpc.order import messages, refusals, storage
from order_rpc.order.book import WholeOrder
from order_rpc.order.cancelling import Cancelling
from order_rpc.order.clients import OpenedPayment, Payments
from order_rpc.order.domain import (
    CANCELLED_BY_USER,
    ORDER_TRANSITIONS,
    SHIPPABLE,
    SHIPPING_TRANSITIONS,
    Order,
    OrderEvent,
    OrderStatus,
    ShippingEvent,
    ShippingStatus,
    Step,
    refund_of,
)

STEPS_MAX = 100

Change = Callable[[AsyncConnection, Order, int], Awaitable[Sequence[NewMessage]]]
"""Changes a locked order at a time, or raises why not; answers whom to tell of it."""


@dataclass(frozen=True, slots=True)
class OrderPage:
    orders: Sequence[WholeOrder]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose order it has to be: a buyer's, or a seller's. Another's order is not found."""

    brand_id: int
    buyer_id: int = 0
    seller_id: int = 0

    def owns(self, order: Order) -> bool:
        whose = order.user_id == self.buyer_id if self.buyer_id else order.seller_id == self.seller_id
        return order.brand_id == self.brand_id and whose


class Orders:
    """The orders of users."""

    def __init__(self, database: Database, payments: Payments, cancelling: Cancelling, outbox: Outbox) -> None:
        self._database = database
        self._payments = payments
        self._cancelling = cancelling
        self._outbox = outbox

    async def get(self, owner: Owner, order_id: int) -> WholeOrder:
        """Read one order. Raises ORDER_NOT_FOUND."""
        async with self._database.read() as connection:
            order = await storage.read_order(connection, order_id)
            if order is None or not owner.owns(order):
                raise refusals.order_not_found(order_id)
            return order, (await storage.read_lines(connection, [order_id]))[order_id]

    async def list(self, owner: Owner, page: pages.PageRequest) -> OrderPage:
        """Read a page of orders, newest first."""
        after = page.after(1)
        async with self._database.read() as connection:
            orders = await storage.list_orders(
                connection,
                owner.brand_id,
                buyer_id=owner.buyer_id,
                seller_id=owner.seller_id,
                before_id=after[0] if after else None,
                limit=page.size + 1,
            )
            kept, token = pages.cut(orders, page.size, lambda order: (order.order_id,))
            lines = await storage.read_lines(connection, [order.order_id for order in kept])
        return OrderPage([(order, lines[order.order_id]) for order in kept], token)

    async def steps(self, owner: Owner, order_id: int) -> Sequence[Step]:
        """Read the steps that an order has taken. Raises ORDER_NOT_FOUND."""
        await self.get(owner, order_id)
        async with self._database.read() as connection:
            return await storage.read_steps(connection, order_id, STEPS_MAX)

    async def pay(self, owner: Owner, order_id: int, channel: str) -> OpenedPayment:
        """Open the payment of what is left to pay; a repeat answers the same.

        The order is moved first: money can only come for one that waits for it. Raises ORDER_NOT_FOUND,
        ORDER_NOT_PAYABLE, PAYMENT_CHANNEL_UNAVAILABLE.
        """
        order = await self._change(owner, order_id, self._open_payment)
        try:
            return await self._payments.open(order, channel)
        except DomainError as error:
            if error.reason == "PAYMENT_CLOSED":
                raise refusals.order_not_payable((await self.get(owner, order_id))[0]) from error
            raise

    async def cancel(self, owner: Owner, order_id: int) -> WholeOrder:
        """Cancel an order that is not paid; a repeat answers the same.

        Raises ORDER_NOT_FOUND, ORDER_NOT_CANCELLABLE.
        """
        await self.get(owner, order_id)
        await self._cancelling.cancel(order_id, CANCELLED_BY_USER)
        order, lines = await self.get(owner, order_id)
        if order.order_status is not OrderStatus.CANCELLED:
            raise refusals.order_not_cancellable(order)
        return order, lines

    async def refund(self, owner: Owner, order_id: int, request_id: str, amount_fen: int) -> WholeOrder:
        """Pay back; a repeat changes nothing. An order that a coupon paid alone is ended by 0.

        Raises ORDER_NOT_FOUND, ORDER_NOT_REFUNDABLE, REFUND_TOO_HIGH, KEY_REUSED, INVALID_REQUEST.
        """

        async def pay_back(connection: AsyncConnection, order: Order, now_ms: int) -> Sequence[NewMessage]:
            known = await storage.read_refund(connection, order_id, request_id)
            if known is None:
                return await self._pay_back(connection, order, request_id, amount_fen, now_ms)
            if known.amount_fen != amount_fen:
                raise refusals.key_reused(request_id)
            return []

        await self._change(owner, order_id, pay_back)
        return await self.get(owner, order_id)

    async def ship(self, owner: Owner, order_id: int) -> WholeOrder:
        """Say that an order was sent; a repeat answers the same. Raises ORDER_NOT_FOUND, ORDER_NOT_SHIPPABLE."""

        async def ship(connection: AsyncConnection, order: Order, now_ms: int) -> Sequence[NewMessage]:
            await self._move_goods(connection, order, ShippingEvent.SHIP, refusals.order_not_shippable, now_ms)
            return []

        await self._change(owner, order_id, ship)
        return await self.get(owner, order_id)

    async def receive(self, owner: Owner, order_id: int) -> WholeOrder:
        """Say that the goods came, which pays the seller once. Raises ORDER_NOT_FOUND, ORDER_NOT_SHIPPED."""

        async def receive(connection: AsyncConnection, order: Order, now_ms: int) -> Sequence[NewMessage]:
            moved = await self._move_goods(connection, order, ShippingEvent.RECEIVE, refusals.order_not_shipped, now_ms)
            return messages.received(order) if moved else []

        await self._change(owner, order_id, receive)
        return await self.get(owner, order_id)

    async def remind(self, owner: Owner, order_id: int) -> WholeOrder:
        """Remind the seller of a paid order that is not sent: one mail, however often it is asked.

        None is sent where the buyer, or the seller's address, has had too many within a day; order_rmq counts them.
        Raises ORDER_NOT_FOUND, ORDER_NOT_SHIPPABLE, ORDER_SHIPPED, NO_SELLER_TO_REMIND.
        """

        async def remind(connection: AsyncConnection, order: Order, now_ms: int) -> Sequence[NewMessage]:
            if order.stage != SHIPPABLE:
                raise refusals.order_not_shippable(order)
            if order.shipping_status is not ShippingStatus.UNSHIPPED:
                raise refusals.order_shipped(order)
            if not order.seller_email:
                raise refusals.no_seller_to_remind(order)
            if order.remind_time_ms:
                return []
            await storage.set_columns(connection, order_id, {"remind_time_ms": now_ms})
            await storage.insert_steps(connection, [(order_id, "REMIND", "")], now_ms)
            return [messages.reminded(order)]

        await self._change(owner, order_id, remind)
        return await self.get(owner, order_id)

    async def _change(self, owner: Owner, order_id: int, change: Change) -> Order:
        """Change an order under its lock, and publish the news of that; answer it as it was."""
        async with self._database.write() as connection:
            order = (await storage.lock_orders(connection, [order_id])).get(order_id)
            if order is None or not owner.owns(order):
                raise refusals.order_not_found(order_id)
            told = await change(connection, order, await self._database.now_ms(connection))
            await self._outbox.add(connection, told)
        if told:
            await self._outbox.publish()
        return order

    async def _open_payment(self, connection: AsyncConnection, order: Order, now_ms: int) -> Sequence[NewMessage]:
        is_known = (order.stage, OrderEvent.OPEN_PAYMENT) in ORDER_TRANSITIONS
        if not is_known or order.expire_time_ms <= now_ms:
            raise refusals.order_not_payable(order)
        if await storage.move_orders(connection, [order.order_id], OrderEvent.OPEN_PAYMENT):
            await storage.insert_steps(connection, [(order.order_id, OrderEvent.OPEN_PAYMENT.value, "")], now_ms)
        return []

    async def _pay_back(
        self, connection: AsyncConnection, order: Order, request_id: str, amount_fen: int, now_ms: int
    ) -> Sequence[NewMessage]:
        if (order.stage, OrderEvent.REFUND_PART) not in ORDER_TRANSITIONS or _is_received_of_user(order):
            raise refusals.order_not_refundable(order)
        if not amount_fen and order.refundable_fen:
            raise invalid_field("refund_amount", "must be more than 0: something was paid for this order")
        if amount_fen > order.refundable_fen:
            raise refusals.refund_too_high(order, amount_fen)
        refund = refund_of(order, request_id, amount_fen)
        await storage.insert_refund(connection, order.order_id, refund, now_ms)
        event = OrderEvent.REFUND_REST if amount_fen == order.refundable_fen else OrderEvent.REFUND_PART
        await storage.move_orders(connection, [order.order_id], event)
        await storage.set_columns(connection, order.order_id, {"refunded_fen": order.refunded_fen + amount_fen})
        await storage.insert_steps(connection, [(order.order_id, event.value, to_yuan(amount_fen))], now_ms)
        return messages.paid_back(order, refund)

    async def _move_goods(
        self,
        connection: AsyncConnection,
        order: Order,
        event: ShippingEvent,
        refuse: Callable[[Order], DomainError],
        now_ms: int,
    ) -> bool:
        """Take the goods of a locked order through an event; answer whether that changed anything."""
        target = SHIPPING_TRANSITIONS.get((order.shipping_status, event))
        if order.stage != SHIPPABLE or target is None:
            raise refuse(order)
        if target is order.shipping_status:
            return False
        time = "ship_time_ms" if event is ShippingEvent.SHIP else "receive_time_ms"
        await storage.set_columns(connection, order.order_id, {"shipping_status": int(target), time: now_ms})
        await storage.insert_steps(connection, [(order.order_id, event.value, "")], now_ms)
        return True


def _is_received_of_user(order: Order) -> bool:
    """Whether the seller, who is a user, has been paid for it."""
    return bool(order.seller_id) and order.shipping_status is ShippingStatus.RECEIVED
