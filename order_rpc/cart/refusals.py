"""How the cart service refuses: the reason, and what to do."""

from __future__ import annotations

import grpc

from mesh.errors import DomainError
from order_rpc.cart.domain import CartRefusal


def cart_refused(goods_id: int, refusal: CartRefusal) -> DomainError:
    is_missing = refusal.reason == "GOODS_NOT_FOUND"
    code = grpc.StatusCode.NOT_FOUND if is_missing else grpc.StatusCode.FAILED_PRECONDITION
    return DomainError(code, refusal.reason, refusal.message, {"goods_id": str(goods_id)})
