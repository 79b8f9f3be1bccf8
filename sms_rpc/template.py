"""Texts with `{$var}` places that are filled per recipient. Pure: no input or output.

The provider fills the places from groups `phone,value,value;phone,value,value` and knows no escape, so a value that
would be read as something else is refused here (ChuangLan V1, variable send).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.control_characters import has_control_character

PLACE = "{$var}"
PLACES_MAX = 20
TEXT_CHARACTERS_MAX = 536
"""Longest text that the provider takes, its signature in brackets included (ChuangLan V1)."""

_RESERVED = (",", ";")


class TemplateError(ValueError):
    """A text that cannot be sent. `value_index` says which value is wrong, from 0; None: no single one."""

    def __init__(self, message: str, value_index: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.value_index = value_index


@dataclass(frozen=True, slots=True)
class Template:
    """A text cut at its places. Made by `parse`."""

    pieces: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a text with 1 to 20 places, signature in brackets included. Raises TemplateError."""
        pieces = tuple(text.split(PLACE))
        if not 1 <= len(pieces) - 1 <= PLACES_MAX:
            message = f"has {len(pieces) - 1} {PLACE}: a variable text has 1 to {PLACES_MAX}"
            raise TemplateError(message)
        return cls(pieces)

    @property
    def place_count(self) -> int:
        """How many values a recipient has."""
        return len(self.pieces) - 1

    def render(self, values: Sequence[str]) -> str:
        """Fill the places in order. Raises TemplateError."""
        if len(values) != self.place_count:
            message = f"has {len(values)} values: the text has {self.place_count} {PLACE}"
            raise TemplateError(message)
        if _is_wrong("".join(values)) or not all(map(str.strip, values)):
            raise _wrong_value(values)
        filled = "".join([piece + value for piece, value in zip(self.pieces, (*values, ""), strict=True)])
        if PLACE in filled:
            message = f"a value makes a new {PLACE}: the provider would fill it again"
            raise TemplateError(message)
        if len(filled) > TEXT_CHARACTERS_MAX:
            message = f"has {len(filled)} characters when filled: at most {TEXT_CHARACTERS_MAX}, signature included"
            raise TemplateError(message)
        return filled


def _is_wrong(value: str) -> bool:
    return any(reserved in value for reserved in _RESERVED) or has_control_character(value)


def _wrong_value(values: Sequence[str]) -> TemplateError:
    """Name the first value that is empty, or holds what separates values or what no text may hold."""
    index = next(i for i, value in enumerate(values) if not value.strip() or _is_wrong(value))
    if not values[index].strip():
        return TemplateError("is empty: each place needs a value", index)
    if has_control_character(values[index]):
        return TemplateError("has a control character", index)
    message = "holds a comma or a semicolon: the provider would read them as the end of the value"
    return TemplateError(message, index)
