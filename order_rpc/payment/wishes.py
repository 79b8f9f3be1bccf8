"""Reading what businesses want of payments, as their messages say it."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.messages import ReceivedMessage
from order_rpc.payment.domain import Business

_NAME_CHARACTERS_MAX = 32
_BUSINESS_ID_CHARACTERS_MAX = 64
_REQUEST_ID_CHARACTERS_MAX = 96
_REMARK_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class RefundWish:
    """A refund that a business wants. `request_id` makes it happen once."""

    business: Business
    request_id: str
    amount_fen: int
    remark: str


def read_business(message: ReceivedMessage) -> Business:
    """Read whose payment is meant. Raises ValueError."""
    return Business(
        _text(message, message.body(), "business", _NAME_CHARACTERS_MAX),
        _bounded(message, "key", message.key, _BUSINESS_ID_CHARACTERS_MAX),
    )


def read_refund_wish(message: ReceivedMessage) -> RefundWish:
    """Read what is to be paid back. Raises ValueError."""
    body = message.body()
    amount_fen = body.get("amount_fen")
    if type(amount_fen) is not int or amount_fen <= 0:
        raise ValueError(f"{message.topic}.{message.tag}: amount_fen must be a whole number above 0")
    remark = str(body.get("remark", ""))[:_REMARK_CHARACTERS_MAX]
    request_id = _text(message, body, "request_id", _REQUEST_ID_CHARACTERS_MAX)
    return RefundWish(read_business(message), request_id, amount_fen, remark)


def _text(message: ReceivedMessage, body: dict[str, object], name: str, characters_max: int) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{message.topic}.{message.tag}: {name} must be a string")  # noqa: TRY004  # from outside
    return _bounded(message, name, value, characters_max)


def _bounded(message: ReceivedMessage, name: str, value: str, characters_max: int) -> str:
    if not 0 < len(value) <= characters_max:
        raise ValueError(f"{message.topic}.{message.tag}: {name} must have 1 to {characters_max} characters")
    return value
