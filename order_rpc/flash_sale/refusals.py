"""How flash sales refuse: the reason, the field where there is one, and what to do."""

from __future__ import annotations

import grpc

from mesh.errors import DomainError
from order_rpc.flash_sale.domain import Refusal

_WHY = {
    Refusal.NOT_STARTED: ("FLASH_SALE_NOT_STARTED", "has not started; come again at its start_time"),
    Refusal.ENDED: ("FLASH_SALE_ENDED", "has ended"),
    Refusal.LIMIT_REACHED: (
        "FLASH_SALE_LIMIT_REACHED",
        "gives this user no more: the limit is reached of what one user may have, or try",
    ),
    Refusal.SOLD_OUT: ("FLASH_SALE_SOLD_OUT", "is sold out; what others cannot pay for comes back"),
}


def flash_sale_not_found(flash_sale_id: int) -> DomainError:
    """Say so of another brand's flash sale too."""
    return DomainError(grpc.StatusCode.NOT_FOUND, "FLASH_SALE_NOT_FOUND", f"no flash sale {flash_sale_id}")


def attempt_not_found(attempt_id: int) -> DomainError:
    """Say so of another user's attempt too."""
    return DomainError(grpc.StatusCode.NOT_FOUND, "ATTEMPT_NOT_FOUND", f"no attempt {attempt_id}")


def not_the_seller(flash_sale_id: int) -> DomainError:
    message = f"flash sale {flash_sale_id} is another user's"
    return DomainError(grpc.StatusCode.PERMISSION_DENIED, "NOT_THE_SELLER", message)


def flash_sale_started(flash_sale_id: int) -> DomainError:
    return _precondition("FLASH_SALE_STARTED", f"flash sale {flash_sale_id} has started; nothing of it can be changed")


def key_reused(request_id: str) -> DomainError:
    message = f"request id {request_id} was used before with another body; what is new needs a new one"
    return DomainError(grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED", message)


def request_under_way(request_id: str) -> DomainError:
    message = f"request {request_id} is being done for another caller; repeat it for its answer"
    return DomainError(grpc.StatusCode.UNAVAILABLE, "REQUEST_UNDER_WAY", message, retry_after_seconds=1)


def refused(refusal: Refusal, flash_sale_id: int) -> DomainError:
    """Say why a buyer gets nothing."""
    if refusal is Refusal.NOT_FOUND:
        return flash_sale_not_found(flash_sale_id)
    reason, what = _WHY[refusal]
    return _precondition(reason, f"flash sale {flash_sale_id} {what}")


def _precondition(reason: str, message: str) -> DomainError:
    return DomainError(grpc.StatusCode.FAILED_PRECONDITION, reason, message)
