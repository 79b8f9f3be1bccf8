"""Reading and checking the parameters of ChuangLan V1 calls. Every refusal is a `RefusalError` with its code."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sandbox.chuanglan.clock import parse_send_time
from sandbox.chuanglan.codes import Code, RefusalError

CHARACTERS_MAX = 536
PHONES_MAX = 1000
VARIABLES_MAX = 20
VARIABLE = "{$var}"
PULL_COUNT_DEFAULT = 20
PULL_COUNT_MAX = 100

# JSON can escape half of a surrogate pair, which no encoding can write.
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PHONE = re.compile(r"1[3-9][0-9]{9}")
_SIGNATURE = re.compile(r"【[^【】]{2,16}】")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_EXTEND = re.compile(r"[0-9]{1,12}")


class Parameters:
    """The JSON object of a call."""

    def __init__(self, fields: dict[str, object]) -> None:
        """Take the decoded object; see `decode`."""
        self._fields = fields

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a body; refused with 129 when it is no JSON object."""
        try:
            fields: object = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RefusalError(Code.JSON) from error
        if not isinstance(fields, dict):
            raise RefusalError(Code.JSON)
        return cls(fields)

    def required(self, name: str) -> str:
        """Return a parameter that must be there; refused with 130 when absent or no string, 128 when no UTF-8."""
        value = self._fields.get(name)
        if not isinstance(value, str):
            raise RefusalError(Code.MISSING_PARAMETER, name)
        if _LONE_SURROGATE.search(value):
            raise RefusalError(Code.ENCODING, name)
        return value

    def optional(self, name: str) -> str:
        """Return a parameter that may be absent, as ""; refused with 130 when it is there and not a string."""
        return "" if self._fields.get(name) is None else self.required(name)

    def pull_count(self) -> int:
        """Return how many notices a pull asks for: 20 unless told, never more than 100."""
        value = self._fields.get("count", PULL_COUNT_DEFAULT)
        if not isinstance(value, int | str) or not _COUNT.fullmatch(str(value)):
            raise RefusalError(Code.MISSING_PARAMETER, "count")
        return min(int(value), PULL_COUNT_MAX)


@dataclass(frozen=True, slots=True)
class Options:
    """What a send and a variable send have in common. `send_at_ms` is 0 for now; `uid` is "" for none."""

    uid: str
    report: bool
    send_at_ms: int


@dataclass(frozen=True, slots=True)
class SendCall:
    """A checked send: one text, 1 to 1000 phones."""

    text: str
    phones: list[str]
    options: Options


@dataclass(frozen=True, slots=True)
class VariableCall:
    """A checked variable send: each usable group's phone with its text, and how many groups were filtered."""

    texts: list[tuple[str, str]]
    filtered: int
    options: Options


def parse_send(parameters: Parameters, sensitive_words: Sequence[str]) -> SendCall:
    """Check a send: 130, 106, 105, 116, then 108, 107, 113, 127."""
    text = parameters.required("msg")
    phones = parameters.required("phone")
    _check_text(text, sensitive_words)
    return SendCall(text, _parse_phones(phones), _parse_options(parameters))


def parse_variable(parameters: Parameters, sensitive_words: Sequence[str]) -> VariableCall:
    """Check a variable send as `parse_send` does; 114 when groups or variables are too many or no group is usable."""
    template = parameters.required("msg")
    groups = [group for group in parameters.required("params").split(";") if group]
    _check_text(template, sensitive_words)
    pieces = template.split(VARIABLE)
    if len(pieces) - 1 > VARIABLES_MAX or len(groups) > PHONES_MAX:
        raise RefusalError(Code.PARAMETER_GROUPS)
    rendered = [_render(pieces, group.split(",")) for group in groups]
    texts = [usable for usable in rendered if usable and _is_sendable(usable[1], sensitive_words)]
    if not texts:
        raise RefusalError(Code.PARAMETER_GROUPS)
    return VariableCall(texts, len(groups) - len(texts), _parse_options(parameters))


def _parse_phones(text: str) -> list[str]:
    phones = text.split(",") if text else []
    if not 1 <= len(phones) <= PHONES_MAX:
        raise RefusalError(Code.NUMBER_COUNT)
    for phone in phones:
        if not _PHONE.fullmatch(phone):
            raise RefusalError(Code.BAD_NUMBER)
    return phones


def _parse_options(parameters: Parameters) -> Options:
    extend = parameters.optional("extend")
    if extend and not _EXTEND.fullmatch(extend):
        raise RefusalError(Code.EXTEND)
    send_time = parameters.optional("sendtime")
    try:
        send_at_ms = parse_send_time(send_time) if send_time else 0
    except ValueError as error:
        raise RefusalError(Code.SEND_TIME) from error
    return Options(parameters.optional("uid"), parameters.optional("report") == "true", send_at_ms)


def _check_text(text: str, sensitive_words: Sequence[str]) -> None:
    if not text:
        raise RefusalError(Code.MISSING_PARAMETER, "msg")
    if len(text) > CHARACTERS_MAX:
        raise RefusalError(Code.MESSAGE_LENGTH)
    if _has_sensitive_word(text, sensitive_words):
        raise RefusalError(Code.SENSITIVE_WORD)
    if not _is_signed(text):
        raise RefusalError(Code.SIGNATURE)


def _is_signed(text: str) -> bool:
    """Whether the text carries a signature of 2 to 16 characters at its beginning or at its end."""
    return bool(_SIGNATURE.match(text)) or any(match.end() == len(text) for match in _SIGNATURE.finditer(text))


def _has_sensitive_word(text: str, sensitive_words: Sequence[str]) -> bool:
    return any(word in text for word in sensitive_words)


def _render(pieces: Sequence[str], group: Sequence[str]) -> tuple[str, str] | None:
    """Fill the variables from one group "phone,v1,v2"; None for a group that the vendor filters silently."""
    phone, *values = group
    if len(values) != len(pieces) - 1 or not _PHONE.fullmatch(phone):
        return None
    filled = [piece + value for piece, value in zip(pieces, values, strict=False)]
    return phone, "".join(filled) + pieces[-1]


def _is_sendable(text: str, sensitive_words: Sequence[str]) -> bool:
    return len(text) <= CHARACTERS_MAX and not _has_sensitive_word(text, sensitive_words)
