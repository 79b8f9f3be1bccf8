"""Characters that no text or name may hold: no display shows them, and PostgreSQL stores no NUL."""

from __future__ import annotations

import re

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def has_control_character(text: str) -> bool:
    """Tell whether a text has an ASCII control character other than a tab or a line break."""
    return _CONTROL_CHARACTER.search(text) is not None


def is_plain_name(text: str) -> bool:
    """Tell whether a name has no control character at all."""
    return _NOT_IN_NAMES.search(text) is None
