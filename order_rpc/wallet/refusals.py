"""How the wallet service refuses: the reason, the field where there is one, and what to do."""

from __future__ import annotations

import grpc

from mesh.errors import DomainError
from order_rpc.wallet.domain import Refusal

_CODES = {
    "KEY_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "DEBIT_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
}
"""Every reason that is not here is FAILED_PRECONDITION."""


def as_error(refusal: Refusal) -> DomainError:
    """Turn the domain's refusal into the mesh's error."""
    code = _CODES.get(refusal.reason, grpc.StatusCode.FAILED_PRECONDITION)
    return DomainError(code, refusal.reason, refusal.message, refusal.metadata)


def key_reused(request_id: str) -> DomainError:
    message = f"request id {request_id} was used before with another body; what is new needs a new one"
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED", message)


def recharge_not_found(recharge_id: int) -> DomainError:
    """Say so of another user's recharge too."""
    return DomainError(grpc.StatusCode.NOT_FOUND, "RECHARGE_NOT_FOUND", f"no recharge {recharge_id}")


def recharge_expired(recharge_id: int) -> DomainError:
    message = f"recharge {recharge_id} cannot be paid any more; begin another one with a new request_id"
    return DomainError(grpc.StatusCode.FAILED_PRECONDITION, "RECHARGE_EXPIRED", message)


def payment_channel_unavailable(*, is_tried_out: bool) -> DomainError:
    message = "the payment channel cannot be reached; repeat with the same request_id"
    return DomainError(
        grpc.StatusCode.UNAVAILABLE,
        "PAYMENT_CHANNEL_UNAVAILABLE",
        message,
        retry_after_seconds=2,
        is_tried_out=is_tried_out,
    )
