"""How the service of SMS packages refuses: each reason of the contract, with what to do about it."""

from __future__ import annotations

import grpc

from mesh.errors import DomainError, FieldViolation
from order_rpc.sms_package.domain import Order, OrderStatus


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


def grant_refused(order_id: int, lot_id: str, why: str) -> DomainError:
    """Say that a grant contradicts the order: order_rmq and this service disagree, which a person has to look at."""
    return _failed_precondition("GRANT_REFUSED", f"lot {lot_id} cannot be recorded for order {order_id}: {why}")


def _failed_precondition(reason: str, message: str, metadata: dict[str, str] | None = None) -> DomainError:
    return DomainError(grpc.StatusCode.FAILED_PRECONDITION, reason, message, metadata or {})
