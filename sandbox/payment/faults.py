"""The faults of the payment channel; their `account` is a merchant id.

What is wrong in a notification is drawn anew for each attempt: with `count` 1 the next attempt is right.
"""

from typing import ClassVar

from pydantic import Field

from sandbox.faults import Fault


class WrongAmount(Fault):
    """A notification, properly signed, names another amount."""

    kind: ClassVar[str] = "payment_wrong_amount"
    difference: int = Field(1, ge=-1_000_000, le=1_000_000)


class WrongSign(Fault):
    """A notification's signature is not the merchant's."""

    kind: ClassVar[str] = "payment_wrong_sign"


class UnknownOrder(Fault):
    """A notification, properly signed, names an outTradeNo that the merchant never gave."""

    kind: ClassVar[str] = "payment_unknown_order"


class DuplicateNotify(Fault):
    """A payment is notified `copies` times at once."""

    kind: ClassVar[str] = "payment_duplicate_notify"
    copies: int = Field(2, ge=2, le=10)


class LateNotify(Fault):
    """The first attempt to notify comes late."""

    kind: ClassVar[str] = "payment_late_notify"
    delay_seconds: float = Field(gt=0, le=24 * 3600)


class NoNotify(Fault):
    """A payment is never notified: only a query tells."""

    kind: ClassVar[str] = "payment_no_notify"


FAULT_KINDS: tuple[type[Fault], ...] = (
    WrongAmount,
    WrongSign,
    UnknownOrder,
    DuplicateNotify,
    LateNotify,
    NoNotify,
)
