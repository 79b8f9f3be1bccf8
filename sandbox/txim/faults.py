"""The faults of Tencent Cloud IM. Their `account` is a recipient's; of a call about several, the first of them."""

from typing import ClassVar, Literal

from pydantic import Field

from sandbox.faults import Fault

Command = Literal[
    "sendmsg", "batchsendmsg", "account_import", "multiaccount_import", "account_check", "query_online_status"
]


class CommandFault(Fault):
    """A fault that strikes only sends unless told otherwise."""

    commands: frozenset[Command] = frozenset({"sendmsg", "batchsendmsg"})

    def concerns(self, account: str, operation: str) -> bool:
        """Whether a call of this command about this account can meet the fault."""
        return operation in self.commands and super().concerns(account, operation)


class AnswerError(CommandFault):
    """HTTP 200 with FAIL and this ErrorCode. `accepted` says whether the call is carried out all the same."""

    kind: ClassVar[str] = "txim_error"
    code: int = Field(ge=1, le=999_999)
    accepted: bool = False


class LoseResponse(CommandFault):
    """The call is carried out; then the connection closes without an answer."""

    kind: ClassVar[str] = "txim_lose_response"


class Hang(CommandFault):
    """No answer ever comes. `accepted` says whether the call is carried out all the same."""

    kind: ClassVar[str] = "txim_hang"
    accepted: bool = False


class HttpError(CommandFault):
    """An answer of HTTP 5xx. `accepted` says whether the call is carried out all the same."""

    kind: ClassVar[str] = "txim_http_error"
    status: int = Field(500, ge=500, le=599)
    accepted: bool = False


class SlowAnswer(CommandFault):
    """The call is carried out and the answer comes after a delay."""

    kind: ClassVar[str] = "txim_slow_answer"
    delay_seconds: float = Field(gt=0, le=600)


class FailRecipient(Fault):
    """A known recipient of a batch is not delivered to and stands in ErrorList; drawn for each recipient."""

    kind: ClassVar[str] = "txim_fail_recipient"
    code: int = Field(ge=1, le=999_999)

    def concerns(self, account: str, operation: str) -> bool:
        """Whether the recipient of a batch can meet the fault."""
        return operation == "batchsendmsg" and super().concerns(account, operation)


class ForgetAccount(CommandFault):
    """An account is unknown from now on, until it is imported again; drawn for each account that a call names."""

    kind: ClassVar[str] = "txim_forget_account"


FAULT_KINDS: tuple[type[Fault], ...] = (
    AnswerError,
    LoseResponse,
    Hang,
    HttpError,
    SlowAnswer,
    FailRecipient,
    ForgetAccount,
)
