"""Characters that no text may hold: no device shows them, and PostgreSQL stores no NUL. Pure: the standard library."""

from __future__ import annotations

import re

_IN_TEXTS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def is_plain_text(text: str) -> bool:
    """Tell whether a text has no control character but line breaks."""
    return _IN_TEXTS.search(text) is None
