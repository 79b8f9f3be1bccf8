"""The payments of orders: opened at the payment service, heard of by its messages, closed and wanted back by ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError
from mesh.messages import NewMessage, Outbox, ReceivedMessage
from order_rpc.sms_package import refusals, storage
from order_rpc.sms_package.clients import BUSINESS, OpenedPayment, Payments
from order_rpc.sms_package.domain import Order, OrderEvent, OrderStatus, PaymentEvent, PaymentStatus

GRANTS = "costcenter"
"""For whom the news of paid orders is: order_rmq grants them in the cost center's name."""

log = telemetry.logger()


class OrderPayments:
    """What orders have to do with money. Nothing of the database is held while the payment service is called."""

    def __init__(self, database: Database, payments: Payments, outbox: Outbox) -> None:
        self._database = database
        self._payments = payments
        self._outbox = outbox

    async def open(self, brand_id: int, order_id: int) -> Order:
        """Open the payment of an order, or find the one that it has; answer the order with it.

        A repeat asks again where to pay: a channel takes no money for ever at one place. Raises ORDER_NOT_FOUND,
        ORDER_NOT_PAYABLE, PAYMENT_CHANNEL_UNAVAILABLE.
        """
        async with self._database.read() as connection:
            order = await storage.read_order(connection, order_id)
            now_ms = await self._database.now_ms(connection)
        if order is None or order.brand_id != brand_id:
            raise refusals.order_not_found(order_id)
        if not order.is_payable(now_ms):
            raise refusals.order_not_payable(order)
        try:
            opened = await self._payments.open(order)
        except DomainError as error:
            if error.reason != "PAYMENT_CLOSED":
                raise
            opened = None
        return await self._record(order, opened)

    async def _record(self, order: Order, opened: OpenedPayment | None) -> Order:
        """Write where to pay. Raises ORDER_NOT_PAYABLE when the order was paid or cancelled meanwhile."""
        async with self._database.write() as connection:
            if opened is not None:
                await storage.record_opened(
                    connection,
                    order.order_id,
                    pay_id=opened.pay_id,
                    trade_no=opened.trade_no,
                    pay_url=opened.pay_url,
                )
            now = await storage.read_order(connection, order.order_id) or order
        if now.status is not OrderStatus.CREATED or opened is None:
            raise refusals.order_not_payable(now)
        return now

    async def paid(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Have orders granted whose money came, and want it back for those cancelled: the effect of payment.paid."""
        news = {int(message.key): message for message in messages}
        now_ms = await self._database.now_ms(connection)
        for order in await self._lock_all(connection, news):
            values = _read_paid(news[order.order_id])
            if await storage.move_orders(connection, [order.order_id], OrderEvent.PAY, paid_at_ms=now_ms):
                message = NewMessage(GRANTS, "sms_package", "paid", str(order.order_id))
                await self._outbox.add(connection, [message])
            await storage.move_payments(connection, [order.order_id], PaymentEvent.PAY, **values)
            if order.status is OrderStatus.CANCELLED and order.payment.status is PaymentStatus.CLOSED:
                log.info("money came for a cancelled order", order_id=order.order_id, amount_fen=order.amount_fen)
                await self._outbox.add(connection, [_refund_wanted(order)])

    async def refunded(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Note that money went back: the effect of payment.refunded."""
        orders = await self._lock_all(connection, {int(message.key): message for message in messages})
        await storage.move_payments(connection, [order.order_id for order in orders], PaymentEvent.PAY_BACK)

    async def _lock_all(self, connection: AsyncConnection, order_ids: Iterable[int]) -> list[Order]:
        """Hold orders. Raises ValueError for one that is not there: nobody could have opened its payment."""
        wanted = set(order_ids)
        orders = await storage.lock_orders(connection, wanted)
        missing = wanted - {order.order_id for order in orders}
        if missing:
            raise ValueError(f"there is no order {min(missing)}")
        return orders


def _read_paid(message: ReceivedMessage) -> dict[str, object]:
    """Read what is known of a payment whose money came. Raises ValueError."""
    body = message.body()
    pay_id, paid_at_ms = str(body.get("pay_id")), body.get("paid_at_ms")
    if type(paid_at_ms) is not int:
        raise ValueError("paid_at_ms must be a whole number")
    return {"pay_id": int(pay_id), "trade_no": str(body.get("trade_no", "")), "pay_time_ms": paid_at_ms}


def _refund_wanted(order: Order) -> NewMessage:
    body = {
        "business": BUSINESS,
        "request_id": f"cancelled/{order.order_id}",
        "amount_fen": order.amount_fen,
        "remark": "the order was cancelled",
    }
    return NewMessage("payment", "payment", "refund_wanted", str(order.order_id), body)
