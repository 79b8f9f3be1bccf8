"""How the order service refuses: each reason of the contract, with what to do about it."""

from __future__ import annotations

import grpc

from mesh.errors import DomainError, FieldViolation
from order_rpc.sms_package.domain import Order, OrderStatus, Payment


def package_not_found(package_id: str) -> DomainError:
    message = f"no package {package_id}; ListPackages names those there are"
    violations = [FieldViolation("package_id", message)]
    return DomainError(grpc.StatusCode.NOT_FOUND, "PACKAGE_NOT_FOUND", message, violations=violations)


def key_reused(request_id: str) -> DomainError:
    message = f"request id {request_id} was used before with another body; a new order needs a new one"
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED", message)


def order_not_found(order_id: int) -> DomainError:
    """Say so of another brand's order too."""
    return DomainError(grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND", f"no order {order_id}")


def order_not_payable(order: Order) -> DomainError:
    why = "past its time" if order.status is OrderStatus.CREATED else order.status.value
    message = f"order {order.order_id} is {why}; make a new order to buy more"
    return _failed_precondition("ORDER_NOT_PAYABLE", message, {"status": order.status.value})


def order_not_cancellable(order: Order) -> DomainError:
    message = f"order {order.order_id} is {order.status}: only an order that is not paid can be cancelled"
    return _failed_precondition("ORDER_NOT_CANCELLABLE", message, {"status": order.status.value})


def order_cancelled(order: Order, payment: Payment) -> DomainError:
    message = (
        f"order {order.order_id} was cancelled before its money came; payment {payment.payment_id} is to be refunded"
    )
    return _failed_precondition("ORDER_CANCELLED", message, {"payment_status": payment.status.value})


def grant_refused(order_id: int, lot_id: str, why: str) -> DomainError:
    """Say that a grant contradicts the order: order_rmq and this service disagree, which a person has to look at."""
    return _failed_precondition("GRANT_REFUSED", f"lot {lot_id} cannot be recorded for order {order_id}: {why}")


def payment_not_found(payment_id: str) -> DomainError:
    return DomainError(grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND", f"no payment {payment_id[:64]!r}")


def payment_amount_wrong(payment_id: int, *, expected: str, got: str) -> DomainError:
    message = f"payment {payment_id} is of {expected}, not of {got}; nothing was changed"
    return _failed_precondition("PAYMENT_AMOUNT_WRONG", message, {"expected": expected, "got": got})


def payment_signature_wrong() -> DomainError:
    message = "the notification is not signed by the payment channel for this merchant"
    return DomainError(grpc.StatusCode.PERMISSION_DENIED, "PAYMENT_SIGNATURE_WRONG", message)


def payment_channel_unavailable() -> DomainError:
    message = "the payment channel did not open the payment; repeat the same request"
    return DomainError(grpc.StatusCode.UNAVAILABLE, "PAYMENT_CHANNEL_UNAVAILABLE", message, retry_after_seconds=2)


def bus_unavailable() -> DomainError:
    message = "the message bus is away; what waits for it is published later"
    return DomainError(grpc.StatusCode.UNAVAILABLE, "BUS_UNAVAILABLE", message, retry_after_seconds=2)


def _failed_precondition(reason: str, message: str, metadata: dict[str, str] | None = None) -> DomainError:
    return DomainError(grpc.StatusCode.FAILED_PRECONDITION, reason, message, metadata or {})
