"""What flash sales tell others, and they do with it."""

from __future__ import annotations

from mesh.messages import NewMessage
from order_rpc.flash_sale.domain import Attempt, FlashSale


def stock_taken(attempt: Attempt) -> NewMessage:
    """The wallet takes the coins of a buyer who has got stock, and answers."""
    body = {"brand_id": attempt.brand_id, "user_id": attempt.user_id, "amount_fen": attempt.price_fen}
    return NewMessage("wallet", "flash_sale", "stock_taken", str(attempt.order_id), body)


def sold(sale: FlashSale, attempt: Attempt) -> NewMessage:
    """The order service makes an order that is paid."""
    body = {
        "brand_id": attempt.brand_id,
        "user_id": attempt.user_id,
        "seller_id": sale.seller_id,
        "seller_email": sale.notify_email,
        "goods_name": sale.goods_name,
        "price_fen": attempt.price_fen,
        "address": attempt.address,
        "consignee": attempt.consignee,
    }
    return NewMessage("order", "flash_sale", "sold", str(attempt.order_id), body)


def cancelled(attempt: Attempt) -> NewMessage:
    """The wallet gives back what it took, and takes nothing any more."""
    return NewMessage("wallet", "flash_sale", "cancelled", str(attempt.order_id))
