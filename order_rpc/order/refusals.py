"""How the order service refuses: the reason, the field where there is one, and what to do."""

from __future__ import annotations

import grpc

from mesh.errors import DomainError, FieldViolation
from mesh.money import to_yuan
from order_rpc.order.domain import Order, Stage


def order_not_found(order_id: int) -> DomainError:
    """Say so of another user's order too."""
    return DomainError(grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND", f"no order {order_id}")


def key_reused(request_id: str) -> DomainError:
    message = f"request id {request_id} was used before with another body; what is new needs a new one"
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED", message)


def goods_not_found(position: int, goods_id: int) -> DomainError:
    field = f"lines[{position}].goods_id"
    violation = FieldViolation(field, f"no goods {goods_id}")
    return DomainError(grpc.StatusCode.NOT_FOUND, "GOODS_NOT_FOUND", f"no goods {goods_id}", violations=[violation])


def goods_not_on_sale(position: int, goods_id: int) -> DomainError:
    message = f"goods {goods_id} are not on sale"
    return _precondition("GOODS_NOT_ON_SALE", message, f"lines[{position}].goods_id")


def stock_short(position: int, goods_id: int, left: int) -> DomainError:
    field, message = f"lines[{position}].goods_number", f"{left} of goods {goods_id} are left"
    return _precondition("STOCK_SHORT", message, field, {"goods_id": str(goods_id), "goods_number": str(left)})


def price_wrong(position: int, goods_id: int, price_fen: int) -> DomainError:
    field, message = f"lines[{position}].goods_price", f"goods {goods_id} cost {to_yuan(price_fen)} now"
    return _precondition("PRICE_WRONG", message, field, {"goods_price": to_yuan(price_fen)})


def shipping_fee_wrong(fee_fen: int) -> DomainError:
    message = f"the shipping costs {to_yuan(fee_fen)}"
    return _precondition("SHIPPING_FEE_WRONG", message, "shipping_fee", {"shipping_fee": to_yuan(fee_fen)})


def amount_wrong(amount_fen: int) -> DomainError:
    message = f"the order costs {to_yuan(amount_fen)}, goods and shipping together"
    return _precondition("AMOUNT_WRONG", message, "order_amount", {"order_amount": to_yuan(amount_fen)})


def too_many_coins(left_fen: int) -> DomainError:
    message = f"{to_yuan(left_fen)} are left to pay; more coins than that are not taken"
    return _precondition("AMOUNT_WRONG", message, "money_paid", {"money_paid_max": to_yuan(left_fen)})


def wallet_short(balance_fen: int) -> DomainError:
    message = f"the wallet has {to_yuan(balance_fen)}"
    return _precondition("WALLET_SHORT", message, "money_paid", {"user_money": to_yuan(balance_fen)})


def coupon_refused(reason: str, message: str) -> DomainError:
    return _precondition(reason, message, "coupon_id")


def order_refused(order: Order) -> DomainError:
    """Say again why an order was not confirmed. A new attempt needs a new request id."""
    message = (
        order.cancel_remark or f"the order was cancelled ({order.cancel_reason}); order anew with another request id"
    )
    return _precondition(order.cancel_reason, message, metadata={"order_id": str(order.order_id)})


def order_not_payable(order: Order) -> DomainError:
    return _in_stage("ORDER_NOT_PAYABLE", order, "it cannot be paid; order anew to buy")


def order_not_cancellable(order: Order) -> DomainError:
    return _in_stage("ORDER_NOT_CANCELLABLE", order, "only one that is not paid can be cancelled; refund it instead")


def order_not_refundable(order: Order) -> DomainError:
    return _in_stage("ORDER_NOT_REFUNDABLE", order, "only one that is paid, and not received, can be refunded")


def order_not_shippable(order: Order) -> DomainError:
    return _in_stage("ORDER_NOT_SHIPPABLE", order, "only one that is paid and not refunded can be shipped")


def order_not_shipped(order: Order) -> DomainError:
    return _in_stage("ORDER_NOT_SHIPPED", order, "only one that was shipped can be received")


def order_shipped(order: Order) -> DomainError:
    return _in_stage("ORDER_SHIPPED", order, "it was shipped already; there is nothing to remind of")


def no_seller_to_remind(order: Order) -> DomainError:
    return _in_stage("NO_SELLER_TO_REMIND", order, "its seller takes no mail; ask the brand")


def refund_too_high(order: Order, wanted_fen: int) -> DomainError:
    left = to_yuan(order.refundable_fen)
    message = f"{left} of order {order.order_id} can still be paid back, not {to_yuan(wanted_fen)}; ask for that"
    return _precondition("REFUND_TOO_HIGH", message, "refund_amount", {"refundable_amount": left})


def paid_wrongly(order: Order, amount_fen: int) -> DomainError:
    """Say that news of a payment contradicts the order, which a person has to look at."""
    message = (
        f"order {order.order_id} ({stage_name(order.stage)}) has {order.pay_amount_fen} fen to pay, not {amount_fen}"
    )
    return _precondition("PAYMENT_REFUSED", message)


def stage_name(stage: Stage) -> str:
    """Name a stage to people."""
    return f"{stage.order_status.name}, {stage.pay_status.name}"


def _in_stage(reason: str, order: Order, what: str) -> DomainError:
    message = f"order {order.order_id} is {stage_name(order.stage)}, {order.shipping_status.name}: {what}"
    metadata = {
        "order_status": order.order_status.name.lower(),
        "pay_status": order.pay_status.name.lower(),
        "shipping_status": order.shipping_status.name.lower(),
    }
    return _precondition(reason, message, metadata=metadata)


def _precondition(reason: str, message: str, field: str = "", metadata: dict[str, str] | None = None) -> DomainError:
    violations = [FieldViolation(field, message)] if field else []
    code = grpc.StatusCode.FAILED_PRECONDITION
    return DomainError(code, reason, message, metadata or {}, violations=violations)
