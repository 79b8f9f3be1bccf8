"""What Tencent answers, read strictly. HTTP is 200 for errors too: `ActionStatus` and `ErrorCode` tell."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import orjson

from mesh.provider.http_call import HttpAnswer
from txim_rpc.domain import (
    ADDRESS_REFUSED,
    ANSWER_LOST,
    BACK_OFF_SECONDS,
    Failure,
    ImCallError,
    OnlineState,
    Policy,
    failure_of,
)

Fields = dict[str, object]

_CODE_MAX: Final = 2**31 - 1

_STATUSES_OF_SUCCESS: Final = ("OK", "SomeError")
"""batchsendmsg says SomeError, with ErrorCode 0, where a part of its recipients did not get the message."""

_OVERLOADED: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class UnreadableAnswerError(ValueError):
    """An answer that is not what Tencent documents: what became of the call is not known."""


def read_answer(answer: HttpAnswer) -> Fields:
    """Answer the fields of a call that succeeded, at least in part.

    Raises:
        ImCallError: Tencent says that it did not.
        UnreadableAnswerError: it cannot be told.

    """
    if answer.status != HTTPStatus.OK:
        raise ImCallError(failure_of_status(answer.status))
    fields = _object(_parsed(answer.body))
    status, code = _text(fields, "ActionStatus"), _code(fields)
    if code:
        if status in _STATUSES_OF_SUCCESS[:1]:
            raise UnreadableAnswerError("ActionStatus is OK and ErrorCode is not 0")
        raise ImCallError(failure_of(code), read_account_failures(fields))
    if status not in _STATUSES_OF_SUCCESS:
        raise UnreadableAnswerError("ErrorCode is 0 and ActionStatus is not OK")
    return fields


def failure_of_status(status: int) -> Failure:
    """Tell what an HTTP status other than 200 means. The API itself gives none, so it is of what stands before it.

    5xx may come after the API has acted. What else there is refuses the call before that (RFC 9110, 15.4 and 15.5):
    for the load, or for its address.
    """
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ANSWER_LOST
    if status in _OVERLOADED:
        return Failure("IM_TOO_FREQUENT", Policy.BACK_OFF, BACK_OFF_SECONDS)
    return ADDRESS_REFUSED


def read_account_failures(fields: Fields) -> dict[str, Failure]:
    """Read the `ErrorList` of a batch: accounts that did not get the message, or are not known, each with its code."""
    failures: dict[str, Failure] = {}
    for item in _objects(fields, "ErrorList"):
        code = _code(item)
        if not code:
            raise UnreadableAnswerError("ErrorCode of an account in ErrorList is 0")
        failures[_text(item, "To_Account")] = failure_of(code)
    return failures


def read_failed_accounts(fields: Fields) -> list[str]:
    """Read the `FailAccounts` of an import."""
    names = _list(fields, "FailAccounts")
    if not all(isinstance(name, str) for name in names):
        raise UnreadableAnswerError("FailAccounts has something else than text")
    return [str(name) for name in names]


def read_imported_accounts(fields: Fields) -> set[str]:
    """Read which accounts of an account_check are imported."""
    items = _objects(fields, "ResultItem")
    return {_text(item, "UserID") for item in items if item.get("AccountStatus") == "Imported"}


def read_online_states(fields: Fields) -> dict[str, OnlineState]:
    """Read the states of accounts that are known. Older answers say `Status` instead of `State`."""
    states = {state.value: state for state in OnlineState}
    return {
        _text(item, "To_Account"): states.get(
            _text(item, "State" if "State" in item else "Status"), OnlineState.UNKNOWN
        )
        for item in _objects(fields, "QueryResult")
    }


def read_words(body: bytes) -> str:
    """Answer Tencent's own words, for people; "" if there are none."""
    try:
        return str(_object(_parsed(body)).get("ErrorInfo", ""))
    except UnreadableAnswerError:
        return ""


def _parsed(body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableAnswerError("not JSON") from error
    return value


def _object(value: object) -> Fields:
    if not isinstance(value, dict):
        raise UnreadableAnswerError("not a JSON object")
    return value


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise UnreadableAnswerError(f"{name} is no text")
    return value


def _code(fields: Fields) -> int:
    value = fields.get("ErrorCode")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _CODE_MAX:
        raise UnreadableAnswerError("ErrorCode is no whole number of 31 bits")
    return value


def _list(fields: Fields, name: str) -> Sequence[object]:
    """Read a list; absent or null is an empty one."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnreadableAnswerError(f"{name} is no list")
    return value


def _objects(fields: Fields, name: str) -> list[Fields]:
    return [_object(item) for item in _list(fields, name)]
