"""The faults of the SMS provider."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat

from sandbox.faults import Fault

Operation = Literal["send", "variable", "balance", "pull_report", "pull_mo"]


class CallFault(Fault):
    """A fault of the answer to a call; it strikes once a call, and only sends unless told otherwise."""

    operations: frozenset[Operation] = frozenset({"send", "variable"})

    def concerns(self, account: str, operation: str) -> bool:
        """Whether a call of this account to this operation can meet the fault."""
        return operation in self.operations and super().concerns(account, operation)


class AnswerCode(CallFault):
    """Nothing is accepted and the answer carries this code."""

    kind: ClassVar[str] = "answer_code"
    code: str = Field(pattern=r"^[1-9][0-9]{0,5}$")


class LoseResponse(CallFault):
    """The call is carried out; then the connection closes without an answer."""

    kind: ClassVar[str] = "lose_response"


class Hang(CallFault):
    """No answer ever comes. `accepted` says whether the call is carried out all the same."""

    kind: ClassVar[str] = "hang"
    accepted: bool = False


class HttpError(CallFault):
    """An answer of HTTP 5xx. `accepted` says whether the call is carried out all the same."""

    kind: ClassVar[str] = "http_error"
    status: int = Field(500, ge=500, le=599)
    accepted: bool = False


class SlowAnswer(CallFault):
    """The call is carried out and the answer comes after a delay."""

    kind: ClassVar[str] = "slow_answer"
    delay_seconds: float = Field(gt=0, le=600)


class IntegerCode(CallFault):
    """`code` is a JSON number instead of a string."""

    kind: ClassVar[str] = "integer_code"


class FilterGroup(Fault):
    """A well-formed parameter group of a variable send is filtered silently; strikes once a group."""

    kind: ClassVar[str] = "filter_group"


class ReceiptFirst(Fault):
    """The receipts are pushed before the answer is given; strikes once a call."""

    kind: ClassVar[str] = "receipt_first"


class DuplicateReceipt(Fault):
    """A receipt is pushed `copies` times, each acknowledged or not by itself."""

    kind: ClassVar[str] = "duplicate_receipt"
    copies: int = Field(2, ge=2, le=10)


class ReorderReceipt(Fault):
    """A receipt comes up to `spread_seconds` later than its turn, so that others overtake it."""

    kind: ClassVar[str] = "reorder_receipt"
    spread_seconds: float = Field(1.0, gt=0, le=3600)


class DelayReceipt(Fault):
    """A receipt comes `delay_seconds` late."""

    kind: ClassVar[str] = "delay_receipt"
    delay_seconds: float = Field(gt=0, le=72 * 3600)


class DropReceipt(Fault):
    """No receipt ever comes, neither by push nor by pull."""

    kind: ClassVar[str] = "drop_receipt"


class FailReceipt(Fault):
    """A receipt says that the message failed; the statuses are drawn by their weights."""

    kind: ClassVar[str] = "fail_receipt"
    statuses: dict[str, PositiveFloat] = Field(default={"UNDELIV": 1.0}, min_length=1, max_length=20)


class BilledLength(Fault):
    """A receipt's billed segments differ from the rule by `difference`, but are one at least."""

    kind: ClassVar[str] = "billed_length"
    difference: int = Field(1, ge=-10, le=10)


FAULT_KINDS: tuple[type[Fault], ...] = (
    AnswerCode,
    LoseResponse,
    Hang,
    HttpError,
    SlowAnswer,
    IntegerCode,
    FilterGroup,
    ReceiptFirst,
    DuplicateReceipt,
    ReorderReceipt,
    DelayReceipt,
    DropReceipt,
    FailReceipt,
    BilledLength,
)
