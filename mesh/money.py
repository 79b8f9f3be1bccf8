"""Amounts of money: whole fen inside, yuan in decimal notation at the edge."""

from __future__ import annotations

import re

from mesh.errors import invalid_field

_YUAN = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,2}))?", re.ASCII)


def to_fen(text: str, field: str) -> int:
    """Read "12.5" as 1250. Raises INVALID_REQUEST that names the field."""
    match = _YUAN.fullmatch(text)
    if match is None:
        raise invalid_field(field, "must be yuan with at most two decimals, for example 12.50")
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def to_yuan(fen: int) -> str:
    """Write 1250 as "12.50"."""
    yuan, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{yuan}.{rest:02}"
