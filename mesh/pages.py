"""AIP-158 pages: bounded, and continued by a token that says where the last page ended."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mesh.errors import invalid_field

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a List rpc was asked for. A `size` of 0 has become the default."""

    size: int
    token: str

    @classmethod
    def of(cls, page_size: int, page_token: str) -> PageRequest:
        """Read the two fields that each List request has."""
        return cls(min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX), page_token)

    def after(self, length: int) -> tuple[int, ...] | None:
        """Answer the position where the page before ended, `length` integers; None for the first page.

        Raises INVALID_REQUEST for a token that no page gave.
        """
        if not self.token:
            return None
        try:
            position = json.loads(base64.urlsafe_b64decode(self.token))
        except (ValueError, RecursionError):
            position = None
        if not _is_position(position, length):
            raise invalid_field("page_token", "is not a next_page_token of this list")
        return tuple(position)


def _is_position(value: object, length: int) -> bool:
    # 63 bits: what every database takes as a BIGINT.
    return (
        isinstance(value, list)
        and len(value) == length
        and all(type(one) is int and abs(one) < 1 << 63 for one in value)
    )


def cut(rows: Sequence[Row], size: int, position: Callable[[Row], tuple[int, ...]]) -> tuple[Sequence[Row], str]:
    """Cut `size + 1` rows that were read to a page; answer it and the token of the next, empty when there is none."""
    if len(rows) <= size:
        return rows, ""
    kept = rows[:size]
    return kept, token_of(position(kept[-1]))


def token_of(position: tuple[int, ...]) -> str:
    """Write where a page ended."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode()
