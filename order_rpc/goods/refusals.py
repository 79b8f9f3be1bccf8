"""How the goods service refuses: the reason, the field where there is one, and what to do."""

from __future__ import annotations

import grpc

from mesh.errors import DomainError
from order_rpc.goods.domain import StockRefusal


def goods_not_found(goods_id: int) -> DomainError:
    """Say so of another brand's goods too."""
    return DomainError(grpc.StatusCode.NOT_FOUND, "GOODS_NOT_FOUND", f"no goods {goods_id}")


def key_reused(request_id: str) -> DomainError:
    message = f"request id {request_id} was used before with another body; what is new needs a new one"
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED", message)


def stock_short(goods_id: int, left: int, wanted: int) -> DomainError:
    message = f"{wanted} of goods {goods_id} cannot be taken, {left} are left"
    return _precondition("STOCK_SHORT", message, {"goods_id": str(goods_id), "goods_number": str(left)})


def stock_released(order_id: int) -> DomainError:
    return _precondition("STOCK_RELEASED", f"order {order_id} was cancelled; its stock is given back")


def stock_refused(refusal: StockRefusal) -> DomainError:
    if refusal.reason == "GOODS_NOT_FOUND":
        return goods_not_found(refusal.goods_id)
    metadata = {"goods_id": str(refusal.goods_id), "goods_number": str(refusal.goods_number)}
    return _precondition(refusal.reason, refusal.message, metadata)


def _precondition(reason: str, message: str, metadata: dict[str, str] | None = None) -> DomainError:
    return DomainError(grpc.StatusCode.FAILED_PRECONDITION, reason, message, metadata or {})
