"""Reading what other services write into messages: what cannot be read is refused by its name, never guessed."""

from __future__ import annotations

_REQUEST_ID_CHARACTERS_MAX = 96
_NUMBER_MAX = (1 << 63) - 1


def read_number(value: object, name: str) -> int:
    """Read a whole number above 0, which may be written as text. Raises ValueError that names it."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if type(number) is not int or not 0 < number <= _NUMBER_MAX:
        raise ValueError(f"{name} must be a whole number above 0")
    return number


def read_request_id(value: object) -> str:
    """Read the name of a request. Raises ValueError."""
    if not isinstance(value, str) or not 0 < len(value) <= _REQUEST_ID_CHARACTERS_MAX:
        raise ValueError(f"request_id must be a text of 1 to {_REQUEST_ID_CHARACTERS_MAX} characters")
    return value
