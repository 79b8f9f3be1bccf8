"""What the order service tells others, and they do with it."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.messages import NewMessage
from order_rpc.order.clients import BUSINESS
from order_rpc.order.domain import Order, OrderLine, PayStatus, Refund


def cancelled(order: Order) -> list[NewMessage]:
    """Everybody gives back what the order took of them, and whoever has not heard of it yet lets it take nothing."""
    takers = ["goods"] if order.seller_id == 0 else []
    if order.coupon_id:
        takers.append("coupon")
    if order.money_paid_fen:
        takers.append("wallet")
    told = [NewMessage(service, "order", "cancelled", str(order.order_id)) for service in takers]
    if order.pay_status is PayStatus.PAYING:
        told.append(NewMessage("payment", "payment", "close_wanted", str(order.order_id), {"business": BUSINESS}))
    return told


def confirmed(order: Order, lines: Sequence[OrderLine], lifetime_seconds: float) -> list[NewMessage]:
    """The cart lets go of what was bought; what is not paid in time is cancelled by a message that comes then."""
    told = []
    if order.from_cart:
        body = {"user_id": order.user_id, "brand_id": order.brand_id, "goods_ids": [line.goods_id for line in lines]}
        told.append(NewMessage("cart", "order", "confirmed", str(order.order_id), body))
    if order.pay_amount_fen:
        told.append(NewMessage("order", "order", "timeout", str(order.order_id), delay_seconds=lifetime_seconds))
    return told


def late_money(order: Order, pay_id: str, amount_fen: int) -> NewMessage:
    """Money that came for a cancelled order goes back."""
    remark = f"order {order.order_id} was cancelled before its money came"
    return _refund_wanted(order, f"late/{pay_id}", amount_fen, remark)


def paid_back(order: Order, refund: Refund) -> list[NewMessage]:
    """What was paid goes back the way it came."""
    told = []
    if refund.payment_fen:
        remark = f"refund of order {order.order_id}"
        told.append(_refund_wanted(order, refund.request_id, refund.payment_fen, remark))
    if refund.coins_fen:
        body = {
            "request_id": refund.request_id,
            "brand_id": order.brand_id,
            "user_id": order.user_id,
            "amount_fen": refund.coins_fen,
        }
        told.append(NewMessage("wallet", "order", "refunded", str(order.order_id), body))
    return told


def received(order: Order) -> list[NewMessage]:
    """A seller who is a user gets what was paid and not paid back."""
    if not order.seller_id or not order.refundable_fen:
        return []
    body = {"brand_id": order.brand_id, "seller_id": order.seller_id, "amount_fen": order.refundable_fen}
    return [NewMessage("wallet", "order", "received", str(order.order_id), body)]


def reminded(order: Order) -> NewMessage:
    """The seller gets a mail. The buyer is named so that one asks for so many a day."""
    body = {"to": order.seller_email, "order_id": str(order.order_id), "buyer": f"{order.brand_id}/{order.user_id}"}
    return NewMessage("mail", "order", "reminded", str(order.order_id), body)


def _refund_wanted(order: Order, request_id: str, amount_fen: int, remark: str) -> NewMessage:
    body = {"business": BUSINESS, "request_id": request_id, "amount_fen": amount_fen, "remark": remark}
    return NewMessage("payment", "payment", "refund_wanted", str(order.order_id), body)
