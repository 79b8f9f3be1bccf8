"""Tencent Cloud IM in the words of this service: commands, messages, what can go wrong and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

BODY_BYTES_MAX: Final = 12 * 1024
"""A message's MsgBody as JSON at most: more is answered with 93000."""

LIFE_SECONDS_MAX: Final = 7 * 24 * 3600
"""MsgLifeTime at most: more is answered with 90026."""

RECIPIENTS_MAX: Final = 500
"""Accounts of one batchsendmsg or query_online_status at most."""

ACCOUNTS_MAX: Final = 100
"""Accounts of one multiaccount_import or account_check at most."""


class Command(StrEnum):
    """A command of the REST API, as its path has it."""

    SEND_MSG = "openim/sendmsg"
    BATCH_SEND_MSG = "openim/batchsendmsg"
    QUERY_ONLINE_STATUS = "openim/query_online_status"
    ACCOUNT_IMPORT = "im_open_login_svc/account_import"
    MULTIACCOUNT_IMPORT = "im_open_login_svc/multiaccount_import"
    ACCOUNT_CHECK = "im_open_login_svc/account_check"

    @property
    def label(self) -> str:
        """Its name without its service: for logs and metrics."""
        return self.value.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Account:
    """One account: its UserID, and the nick that it is imported with."""

    name: str
    nick: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message without its recipients: a text or, if that is empty, data for the app.

    `random` and the seconds of `time` are the same in each of its tries: Tencent drops a repeat by them.
    """

    text: str
    custom_data: str
    cloud_custom_data: str
    random: int
    time_seconds: int
    expires_at_ms: int

    def life_seconds(self, now_ms: int) -> int:
        """How long Tencent may keep it for a device that is away: never past its time, and at most 7 days."""
        return min(max(self.expires_at_ms - now_ms, 0) // 1000, LIFE_SECONDS_MAX)

    def is_expired(self, now_ms: int) -> bool:
        """Whether it is of no use any more."""
        return now_ms >= self.expires_at_ms


class OnlineState(StrEnum):
    """Whether an account has a device online. The values are Tencent's own."""

    ONLINE = "Online"
    PUSH_ONLINE = "PushOnline"
    OFFLINE = "Offline"
    UNKNOWN = ""


class Policy(StrEnum):
    """What to do about a failure."""

    RETRY = "retry"
    """Nothing was done. Try again soon."""
    BACK_OFF = "back_off"
    """Nothing was done, for too much was asked. Try again later."""
    IMPORT = "import"
    """Nothing was done, for Tencent does not know the account. Import it, then try once more."""
    RE_SIGN = "re_sign"
    """Nothing was done, for the UserSig is refused. Make a new one, then try once more."""
    STOP = "stop"
    """Nothing was done, nor will be until an operator has acted. Tell them; try again later."""
    FAIL = "fail"
    """Nothing was done, nor will be. Give it up."""
    UNKNOWN = "unknown"
    """It may have been done. The same message may be sent again: Tencent drops it if it has it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call, or its part for one account, did not succeed.

    `reason` is UPPER_SNAKE. `error_code` is Tencent's, or 0. `is_of_app`: every call would end so, whatever it asks;
    none is made until the time is over.
    """

    reason: str
    policy: Policy
    after_seconds: float = 0.0
    error_code: int = 0
    is_of_app: bool = False


RETRY_SECONDS: Final = 2.0
BACK_OFF_SECONDS: Final = 5.0
STOPPED_SECONDS: Final = 60.0

_AFTER_SECONDS: Final = {
    Policy.RETRY: RETRY_SECONDS,
    Policy.BACK_OFF: BACK_OFF_SECONDS,
    Policy.IMPORT: BACK_OFF_SECONDS,
    Policy.RE_SIGN: RETRY_SECONDS,
    Policy.STOP: STOPPED_SECONDS,
    Policy.UNKNOWN: RETRY_SECONDS,
    Policy.FAIL: 0.0,
}

_CODES_BY_MEANING: Final[Mapping[tuple[Policy, str], tuple[int, ...]]] = {
    (Policy.RETRY, "IM_INTERNAL_ERROR"): (20002, 20005, 40006, 70500, 90992, 90994, 90995, 91000),
    (Policy.RETRY, "IM_INTERNAL_TIMEOUT"): (20004, 60014, 70169),
    (Policy.BACK_OFF, "IM_TOO_FREQUENT"): (10006, 60007, 60011, 60018, 60019),
    (Policy.BACK_OFF, "IM_TOO_MANY_FAILURES"): (70050,),
    (Policy.IMPORT, "IM_ACCOUNT_UNKNOWN"): (20003, 70107, 90012, 90048),
    (Policy.RE_SIGN, "IM_USER_SIG_EXPIRED"): (70001,),
    (Policy.RE_SIGN, "IM_USER_SIG_REFUSED"): (60004, 60005, 70002, 70003, 70005, 70009, 70013, 70052),
    (Policy.STOP, "IM_APP_REFUSED"): (60006, 60012, 60016, 60020, 70014, 70016, 70020),
    (Policy.STOP, "IM_NOT_ADMINISTRATOR"): (60010, 70403, 90009),
    (Policy.STOP, "IM_ADDRESS_REFUSED"): (60009, 60017, 60021),
    (Policy.STOP, "IM_ADMINISTRATOR_BLOCKED"): (70051,),
    (Policy.STOP, "IM_ACCOUNTS_FULL"): (70398,),
    (Policy.UNKNOWN, "IM_TIMED_OUT"): (60008, 60013),
    (Policy.FAIL, "IM_REQUEST_MALFORMED"): (
        *(20001, 60002, 60003, 60015, 70402, 90001, 90002, 90003, 90004, 90005, 90006),
        *(90007, 90008, 90010, 90031, 90044),
    ),
    (Policy.FAIL, "IM_ACCOUNTS_TOO_MANY"): (70206, 90011),
    (Policy.FAIL, "IM_PROFILE_REFUSED"): (40001, 40005, 40601, 40605, 40610),
    (Policy.FAIL, "IM_RECIPIENT_REFUSES"): (20007, 20009, 20010, 20011),
    (Policy.FAIL, "IM_SENDER_MUTED"): (20012,),
    (Policy.FAIL, "IM_ACCOUNT_RESTRICTED"): (70114,),
    (Policy.FAIL, "IM_CALLBACK_REFUSED"): (20006,),
    (Policy.FAIL, "IM_TEXT_REFUSED"): (80001,),
    (Policy.FAIL, "IM_LIFE_TIME"): (90026,),
    (Policy.FAIL, "IM_TOO_LONG"): (80002, 93000),
}

_AFTER_A_MINUTE: Final = frozenset({70050})
"""Tencent takes no call for one minute after too many that failed."""

_OF_ONE_CALL: Final = frozenset({70398})
"""An operator has to buy room for more accounts, but those that there are can still be sent to."""

_CALLBACK_CODES: Final = range(120_001, 130_001)
"""An app's own callback before a message may answer with any of these."""


def _table() -> dict[int, Failure]:
    table: dict[int, Failure] = {}
    for (policy, reason), codes in _CODES_BY_MEANING.items():
        for code in codes:
            is_of_app = code in _AFTER_A_MINUTE or (policy is Policy.STOP and code not in _OF_ONE_CALL)
            after_seconds = STOPPED_SECONDS if is_of_app else _AFTER_SECONDS[policy]
            table[code] = Failure(reason, policy, after_seconds, code, is_of_app)
    return table


FAILURES: Final[Mapping[int, Failure]] = MappingProxyType(_table())
"""Every ErrorCode that a call of ours can be answered with, and what to do about it.

Source: "Error Codes" of Tencent Cloud Chat, the parts on public, account, profile and message errors, and the pages of
the six commands.
"""


def failure_of(code: int) -> Failure:
    """Tell what an ErrorCode other than 0 means.

    One that is not listed fails the message: Tencent said that it did nothing, and it names those of its codes after
    which a repeat helps. To repeat what it refuses for another reason only brings 70050, which stops every call.
    """
    if code in FAILURES:
        return FAILURES[code]
    reason = "IM_CALLBACK_REFUSED" if code in _CALLBACK_CODES else "IM_CODE_UNLISTED"
    return Failure(reason, Policy.FAIL, error_code=code)


EXPIRED: Final = Failure("IM_EXPIRED", Policy.FAIL)
TOO_LONG: Final = Failure("IM_TOO_LONG", Policy.FAIL)
ANSWER_LOST: Final = Failure("IM_ANSWER_LOST", Policy.UNKNOWN, RETRY_SECONDS)
ANSWER_UNREADABLE: Final = Failure("IM_ANSWER_UNREADABLE", Policy.UNKNOWN, RETRY_SECONDS)
UNREACHABLE: Final = Failure("IM_UNREACHABLE", Policy.RETRY, RETRY_SECONDS)
ADDRESS_REFUSED: Final = Failure("IM_ADDRESS_REFUSED", Policy.STOP, STOPPED_SECONDS, is_of_app=True)
IMPORT_FAILED: Final = Failure("IM_IMPORT_FAILED", Policy.RETRY, BACK_OFF_SECONDS)
"""Tencent did not take the account and does not say why: multiaccount_import gives no code for each."""


def rate_limited(after_seconds: float) -> Failure:
    """No turn within the time that a call may wait."""
    return Failure("IM_RATE_LIMITED", Policy.BACK_OFF, after_seconds)


def circuit_open(after_seconds: float) -> Failure:
    """Nothing is called at present."""
    return Failure("IM_CIRCUIT_OPEN", Policy.RETRY, after_seconds)


class ImCallError(Exception):
    """A call that did not succeed. `account_failures` are those that Tencent told for single accounts."""

    def __init__(self, failure: Failure, account_failures: Mapping[str, Failure] | None = None) -> None:
        super().__init__(f"{failure.reason} {failure.error_code}")
        self.failure = failure
        self.account_failures = account_failures or {}


class Outcome(StrEnum):
    """What became of a message to one account."""

    SENT = "SENT"
    REFUSED = "REFUSED"
    RETRY = "RETRY"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a message to one account, and for RETRY and UNKNOWN in how many seconds to try again."""

    account: str
    outcome: Outcome
    reason: str = ""
    error_code: int = 0
    retry_after_seconds: int = 0


_OUTCOMES: Final = {Policy.FAIL: Outcome.REFUSED, Policy.UNKNOWN: Outcome.UNKNOWN}


def result_of(account: str, failure: Failure | None) -> Result:
    """Tell a message's outcome from the failure of its call; None: there was none."""
    if failure is None:
        return Result(account, Outcome.SENT)
    outcome = _OUTCOMES.get(failure.policy, Outcome.RETRY)
    after_seconds = 0 if outcome is Outcome.REFUSED else max(1, math.ceil(failure.after_seconds))
    return Result(account, outcome, failure.reason, failure.error_code, after_seconds)
