"""What the order service makes of news: of its payments, and of flash sales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.messages import NewMessage, Outbox, ReceivedMessage
from mesh.money import to_yuan
from order_rpc.order import messages, refusals, storage
from order_rpc.order.domain import ORDER_TRANSITIONS, Order, OrderEvent, OrderLine, OrderStatus, PayStatus


class News:
    """Effects of messages."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def paid(self, connection: AsyncConnection, received: Sequence[ReceivedMessage]) -> None:
        """Take money that came: the effect of payment.paid. Money for a cancelled order goes back by itself."""
        now_ms = await self._database.now_ms(connection)
        locked = await storage.lock_orders(connection, {int(message.key) for message in received})
        told: list[NewMessage] = []
        steps: list[tuple[int, str, str]] = []
        for message in received:
            body, order = message.body(), locked.get(int(message.key))
            if order is None:
                raise refusals.order_not_found(int(message.key))
            amount_fen = int(body["amount_fen"])
            if (order.stage, OrderEvent.PAY) not in ORDER_TRANSITIONS or amount_fen != order.pay_amount_fen:
                raise refusals.paid_wrongly(order, amount_fen)
            if order.order_status is OrderStatus.CANCELLED:
                told.append(messages.late_money(order, str(body["pay_id"]), amount_fen))
                steps.append((order.order_id, OrderEvent.PAY.value, "the order was cancelled; the money goes back"))
            elif await storage.move_orders(connection, [order.order_id], OrderEvent.PAY, pay_time_ms=now_ms):
                steps.append((order.order_id, OrderEvent.PAY.value, ""))
        await storage.insert_steps(connection, steps, now_ms)
        await self._outbox.add(connection, told)

    async def refunded(self, connection: AsyncConnection, received: Sequence[ReceivedMessage]) -> None:
        """Note that a channel has paid back: the effect of payment.refunded."""
        now_ms = await self._database.now_ms(connection)
        steps = [(int(message.key), "REFUNDED", to_yuan(int(message.body()["amount_fen"]))) for message in received]
        await storage.insert_steps(connection, steps, now_ms)

    async def sold(self, connection: AsyncConnection, received: Sequence[ReceivedMessage]) -> None:
        """Make the orders of those who got something in a flash sale, and paid for it with coins: flash_sale.sold."""
        now_ms = await self._database.now_ms(connection)
        known = await storage.lock_orders(connection, {int(message.key) for message in received})
        fresh = {int(one.key): _sold_order(int(one.key), one.body(), now_ms) for one in received}
        made = [one for order_id, one in fresh.items() if order_id not in known]
        await storage.insert_orders(connection, made)
        steps = [(order.order_id, OrderEvent.CONFIRM_PAID.value, "flash sale") for order, _ in made]
        await storage.insert_steps(connection, steps, now_ms)


def _sold_order(order_id: int, body: dict[str, Any], now_ms: int) -> tuple[Order, Sequence[OrderLine]]:
    price_fen, number = int(body["price_fen"]), int(body.get("goods_number", 1))
    amount_fen = price_fen * number
    order = Order(
        order_id=order_id,
        brand_id=int(body["brand_id"]),
        user_id=int(body["user_id"]),
        seller_id=int(body["seller_id"]),
        seller_email=str(body.get("seller_email", "")),
        # With a sign that no request of a buyer has, so that none of them is there before it.
        request_id=f"flash_sale#{order_id}",
        body_hash="",
        order_status=OrderStatus.CONFIRMED,
        pay_status=PayStatus.PAID,
        address=str(body.get("address", "")),
        consignee=str(body.get("consignee", "")),
        goods_amount_fen=amount_fen,
        shipping_fee_fen=0,
        order_amount_fen=amount_fen,
        coupon_id=0,
        coupon_paid_fen=0,
        money_paid_fen=amount_fen,
        pay_amount_fen=0,
        add_time_ms=now_ms,
        confirm_time_ms=now_ms,
        pay_time_ms=now_ms,
        expire_time_ms=now_ms,
    )
    return order, [OrderLine(0, str(body["goods_name"]), number, price_fen)]
