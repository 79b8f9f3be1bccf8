"""Reading texts that people write.

No display shows control characters, PostgreSQL stores no NUL, and a name with line breaks could write into a mail.
"""

from __future__ import annotations

import re

from mesh.control_characters import is_plain_name
from mesh.errors import invalid_field

_NOT_IN_TEXTS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def read_name(text: str, field: str) -> str:
    """Answer a text of one line as it is. Raises INVALID_REQUEST that names the field."""
    if not is_plain_name(text):
        raise invalid_field(field, "must have no control characters")
    return text


def read_text(text: str, field: str) -> str:
    """Answer a text of any number of lines as it is. Raises INVALID_REQUEST that names the field."""
    if _NOT_IN_TEXTS.search(text):
        raise invalid_field(field, "must have no control characters but tabs and line breaks")
    return text
