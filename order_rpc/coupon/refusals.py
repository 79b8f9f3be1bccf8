"""How the coupon service refuses: the reason, the field where there is one, and what to do."""

from __future__ import annotations

import grpc

from mesh.errors import DomainError
from order_rpc.coupon.domain import CouponRefusal

_CODES = {
    "COUPON_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "KEY_REUSED": grpc.StatusCode.ALREADY_EXISTS,
}
"""What is not here is a FAILED_PRECONDITION."""


def coupon_not_found(coupon_id: int) -> DomainError:
    """Say so of another user's and another brand's coupon too."""
    return DomainError(grpc.StatusCode.NOT_FOUND, "COUPON_NOT_FOUND", f"no coupon {coupon_id}")


def key_reused(request_id: str) -> DomainError:
    message = f"request id {request_id} was used before with another body; what is new needs a new one"
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED", message)


def coupon_refused(coupon_id: int, refusal: CouponRefusal) -> DomainError:
    code = _CODES.get(refusal.reason, grpc.StatusCode.FAILED_PRECONDITION)
    return DomainError(code, refusal.reason, refusal.message, {"coupon_id": str(coupon_id)})
