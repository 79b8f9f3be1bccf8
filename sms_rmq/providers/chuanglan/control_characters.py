"""Characters that no text of the vendor's may hold: they say nothing, and PostgreSQL stores no NUL."""

from __future__ import annotations

import re

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def has_control_character(text: str) -> bool:
    """Tell whether a text has an ASCII control character other than a tab or a line break."""
    return _CONTROL_CHARACTER.search(text) is not None
