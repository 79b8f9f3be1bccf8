"""How the payment service refuses: each reason of the contract, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from mesh.errors import DomainError, FieldViolation
from order_rpc.payment.domain import Business, Payment


def payment_not_found(which: str) -> DomainError:
    return DomainError(grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND", f"no payment {which[:100]!r}")


def payment_of_business_not_found(business: Business) -> DomainError:
    return payment_not_found(f"of {business.name} {business.business_id}")


def payment_closed(business: Business) -> DomainError:
    message = f"the payment of {business.name} {business.business_id} is closed; what is paid anew is a new business"
    return _precondition("PAYMENT_CLOSED", message)


def payment_not_paid(payment: Payment) -> DomainError:
    message = f"payment {payment.pay_id} is {payment.status}: only money that came can be paid back"
    return _precondition("PAYMENT_NOT_PAID", message, {"status": payment.status.value})


def payment_amount_wrong(pay_id: int, *, expected: str, got: str) -> DomainError:
    message = f"payment {pay_id} is of {expected}, not of {got}; nothing was changed"
    return _precondition("PAYMENT_AMOUNT_WRONG", message, {"expected": expected, "got": got})


def payment_signature_wrong() -> DomainError:
    message = "the notification is not signed by the payment channel for this merchant"
    return DomainError(grpc.StatusCode.PERMISSION_DENIED, "PAYMENT_SIGNATURE_WRONG", message)


def channel_unknown(name: str, known: Sequence[str]) -> DomainError:
    message = f"no payment channel {name[:32]!r} is set up; there are {', '.join(known)}"
    return DomainError(
        grpc.StatusCode.NOT_FOUND, "PAYMENT_CHANNEL_UNKNOWN", message, violations=[FieldViolation("channel", message)]
    )


def channel_unavailable(name: str) -> DomainError:
    message = f"the payment channel {name} did not do it; repeat the same request"
    return DomainError(grpc.StatusCode.UNAVAILABLE, "PAYMENT_CHANNEL_UNAVAILABLE", message, retry_after_seconds=2)


def refund_too_high(payment: Payment, amount_fen: int) -> DomainError:
    left = payment.refundable_fen
    message = f"{amount_fen} fen of payment {payment.pay_id} cannot be paid back, {left} fen are left of it"
    return _precondition("REFUND_TOO_HIGH", message, {"amount_fen": str(amount_fen), "refundable_fen": str(left)})


def key_reused(what: str) -> DomainError:
    message = f"{what} was used before with another body; what is new needs a new one"
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED", message)


def _precondition(reason: str, message: str, metadata: dict[str, str] | None = None) -> DomainError:
    return DomainError(grpc.StatusCode.FAILED_PRECONDITION, reason, message, metadata or {})
