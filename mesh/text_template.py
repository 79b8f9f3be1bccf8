"""Texts with places like `{roomName}`: read strictly, filled strictly.

A place is a name in braces and nothing else; `{{` and `}}` are the braces themselves. What is filled in is never read
again, so a value may hold braces. Nothing is left unfilled: a name without a value is an error that carries the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

PLACES_MAX = 64

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class TemplateError(ValueError):
    """A text is not a template. The message says why, in words for its author."""


class MissingParameterError(LookupError):
    """A place has no value."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no value for {{{name}}}")
        self.name = name


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A text that was read: literal texts, each followed by the name of a place, or by nothing at the end."""

    pieces: tuple[tuple[str, str | None], ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the places, each once, in the order of their first use."""
        return tuple(dict.fromkeys(name for _, name in self.pieces if name is not None))

    def render(self, params: Mapping[str, str]) -> str:
        """Fill every place. Raises MissingParameterError for the first that has no value."""
        filled = []
        for literal, name in self.pieces:
            filled.append(literal)
            if name is not None:
                if name not in params:
                    raise MissingParameterError(name)
                filled.append(params[name])
        return "".join(filled)


def parse_template(text: str) -> TextTemplate:
    """Read a text. Raises TemplateError."""
    try:
        parsed = list(Formatter().parse(text))
    except ValueError:
        raise TemplateError("has a brace without its partner; write {{ or }} for the brace itself") from None
    pieces = tuple((literal, _place(name, spec, conversion)) for literal, name, spec, conversion in parsed)
    if sum(name is not None for _, name in pieces) > PLACES_MAX:
        raise TemplateError(f"has more than {PLACES_MAX} places")
    return TextTemplate(pieces)


def _place(name: str | None, spec: str | None, conversion: str | None) -> str | None:
    if name is None:
        return None
    if spec or conversion or not _NAME.fullmatch(name):
        raise TemplateError(f"{{{name}}} is not a place: it takes a name of letters, digits and _ alone")
    return name
