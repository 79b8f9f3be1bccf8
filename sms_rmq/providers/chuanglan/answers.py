"""What ChuangLan V1 answers, read: `{code, msgId, time, errorMsg}`, with `successNum` and `failNum` to a variable send.

`code` and the counts come as text or as numbers.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from mesh.control_characters import has_control_character
from mesh.provider.circuit import Trouble
from sms_rmq.providers.chuanglan.codes import BUSY_SECONDS, STOPPED_SECONDS, UNLISTED, Meaning, Policy
from sms_rmq.providers.port import Accepted, Outcome, Rejected, RetryLater, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.provider.http_call import HttpAnswer

MESSAGE_ID_CHARACTERS_MAX = 64
CODE_CHARACTERS_MAX = 32

Fields = dict[str, object]

_OVERLOADED = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_MISCONFIGURED = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.GONE,
        HTTPStatus.MISDIRECTED_REQUEST,
    }
)


class UnreadableAnswerError(ValueError):
    """An answer that is not what the vendor documents."""


def read_object(body: bytes) -> Fields:
    """Read a JSON object. Raises `UnreadableAnswerError`."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = "not JSON"
        raise UnreadableAnswerError(message) from error
    if not isinstance(value, dict):
        message = "not a JSON object"
        raise UnreadableAnswerError(message)
    return value


def read_text(fields: Fields, name: str, characters_max: int) -> str:
    """Read text, or a whole number as text; absent or null as "". Raises `UnreadableAnswerError`."""
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        message = f"{name} is neither text nor a whole number"
        raise UnreadableAnswerError(message)
    text = str(value)
    if len(text) > characters_max:
        message = f"{name} has over {characters_max} characters"
        raise UnreadableAnswerError(message)
    if has_control_character(text):
        message = f"{name} has a control character"
        raise UnreadableAnswerError(message)
    return text


class AnswerReader:
    """Reads the answers to submissions of one account."""

    def __init__(self, success_code: str, meanings: Mapping[str, Meaning]) -> None:
        self._success_code = success_code
        self._meanings = meanings

    def read(self, answer: HttpAnswer, phones: int, *, counted: bool) -> Outcome:
        """Tell what became of a submission to so many phones. `counted`: the answer has to say how many were taken."""
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            return outcome_of_status(answer.status)
        try:
            fields = read_object(answer.body)
            code = read_text(fields, "code", CODE_CHARACTERS_MAX)
            message_id = read_text(fields, "msgId", MESSAGE_ID_CHARACTERS_MAX)
        except UnreadableAnswerError:
            return Unknown("ANSWER_UNREADABLE", trouble=Trouble.TRANSPORT)
        if not code:
            return Unknown("ANSWER_UNREADABLE", message_id, Trouble.TRANSPORT)
        if code != self._success_code:
            return outcome_of_meaning(code, self._meanings.get(code, UNLISTED))
        if not _took_all(fields, phones, counted=counted):
            return Unknown("PARTLY_ACCEPTED", message_id)
        return Accepted(message_id)


def outcome_of_meaning(code: str, meaning: Meaning) -> Outcome:
    """Carry out a code's policy."""
    match meaning.policy:
        case Policy.RETRY:
            return RetryLater(meaning.after_seconds, code, meaning.reason)
        case Policy.STOP:
            return RetryLater(meaning.after_seconds, code, meaning.reason, Trouble.ACCOUNT)
        case Policy.FAIL:
            return Rejected(code, meaning.reason)


def outcome_of_status(status: int) -> Outcome:
    """Tell what an HTTP status from 300 on means. The vendor documents none: its API answers 200 to everything.

    So it comes from what stands before the API. 5xx may come after the API has acted. 3xx and 4xx refuse the request
    before that (RFC 9110, 15.5): for its address or this account, for the load, or for the request itself.
    """
    code = f"HTTP_{status}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unknown("PROVIDER_SERVER_ERROR", trouble=Trouble.TRANSPORT)
    if status in _OVERLOADED:
        return RetryLater(BUSY_SECONDS, code, "PROVIDER_BUSY")
    if status in _MISCONFIGURED or status < HTTPStatus.BAD_REQUEST:
        return RetryLater(STOPPED_SECONDS, code, "PROVIDER_ADDRESS_REFUSED", Trouble.ACCOUNT)
    return Rejected(code, "REQUEST_REFUSED")


def _took_all(fields: Fields, phones: int, *, counted: bool) -> bool:
    """Compare the counts, where there have to be some or are some: malformed groups are filtered silently."""
    if not counted and "successNum" not in fields and "failNum" not in fields:
        return True
    return str(fields.get("successNum")) == str(phones) and str(fields.get("failNum", 0)) == "0"
