"""The faults of both payment channels; their `account` is a merchant id.

What is wrong in a notification is drawn anew for each attempt: with `count` 1 the next attempt is right.
"""

from typing import ClassVar, Literal

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


Operation = Literal["create", "query", "close", "refund", "statement"]


class CallFault(Fault):
    """A fault of a merchant's call; without `operations` it strikes all of them but statements."""

    operations: tuple[Operation, ...] = ("create", "query", "close", "refund")

    def concerns(self, account: str, operation: str) -> bool:
        """Whether a call of this merchant to this operation can meet the fault."""
        return super().concerns(account, operation) and operation in self.operations


class LoseResponse(CallFault):
    """A call is carried out, then the connection closes."""

    kind: ClassVar[str] = "payment_lose_response"


class HttpError(CallFault):
    """A call is answered with HTTP 5xx, carried out before or not at all."""

    kind: ClassVar[str] = "payment_http_error"
    status: int = Field(500, ge=500, le=599)
    accepted: bool = False


class RefuseRefund(Fault):
    """A refund is refused for good."""

    kind: ClassVar[str] = "payment_refuse_refund"


class PendingRefund(Fault):
    """A refund is made, and said to be under way."""

    kind: ClassVar[str] = "payment_pending_refund"


class DaysAgo(Fault):
    """By the channel's clock a payment is paid, or a refund made, days ago."""

    kind: ClassVar[str] = "payment_days_ago"
    days: int = Field(1, ge=1, le=30)


class StatementOmits(Fault):
    """A row of a statement is left out."""

    kind: ClassVar[str] = "payment_statement_omits"


class StatementInvents(Fault):
    """A statement has a payment more, which the merchant never wanted."""

    kind: ClassVar[str] = "payment_statement_invents"


class StatementAmount(Fault):
    """A row of a statement has another amount."""

    kind: ClassVar[str] = "payment_statement_amount"
    difference: int = Field(1, ge=-1_000_000, le=1_000_000)


class StatementStatus(Fault):
    """A row of a statement has another status."""

    kind: ClassVar[str] = "payment_statement_status"


FAULT_KINDS: tuple[type[Fault], ...] = (
    WrongAmount,
    WrongSign,
    UnknownOrder,
    DuplicateNotify,
    LateNotify,
    NoNotify,
    LoseResponse,
    HttpError,
    RefuseRefund,
    PendingRefund,
    DaysAgo,
    StatementOmits,
    StatementInvents,
    StatementAmount,
    StatementStatus,
)
