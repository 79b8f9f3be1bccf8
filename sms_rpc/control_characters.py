"""Characters that no text may hold: no handset shows them, and PostgreSQL stores no NUL. Pure: the standard library."""

from __future__ import annotations

import re

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def has_control_character(text: str) -> bool:
    """Tell whether a text has an ASCII control character other than a tab or a line break."""
    return _CONTROL_CHARACTER.search(text) is not None
