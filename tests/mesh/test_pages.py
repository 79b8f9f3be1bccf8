from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import DomainError
from mesh.pages import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, PageRequest, cut, token_of

bigints = st.integers(-(1 << 63) + 1, (1 << 63) - 1)


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(("asked", "size"), [(0, PAGE_SIZE_DEFAULT), (1, 1), (1000, 1000), (10**9, PAGE_SIZE_MAX)])
def test_size(asked: int, size: int) -> None:
    assert PageRequest.of(asked, "").size == size


def test_the_first_page_is_after_nothing() -> None:
    assert PageRequest.of(10, "").after(2) is None


@given(st.lists(bigints, min_size=1, max_size=3))
def test_a_token_is_read_as_it_was_written(position: list[int]) -> None:
    assert PageRequest.of(10, token_of(tuple(position))).after(len(position)) == tuple(position)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 25])
def test_pages_hold_each_row_once(count: int) -> None:
    rows, seen, token = list(range(count)), list[int](), ""
    while True:
        page = PageRequest.of(10, token)
        (after,) = page.after(1) or (-1,)
        kept, token = cut([row for row in rows if row > after][: page.size + 1], page.size, lambda row: (row,))
        seen += kept
        assert len(kept) <= 10
        if not token:
            break
        assert kept
    assert seen == rows


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "====",
        "[1,2]",
        "é",
        "\x00",
        "a" * 100_000,
        encoded([1]),
        encoded([1, 2, 3]),
        encoded([1, "2"]),
        encoded([1, 2.0]),
        encoded([1, True]),
        encoded([1, None]),
        encoded([1, [2]]),
        encoded([1, 1 << 63]),
        encoded({"0": 1, "1": 2}),
        encoded("12"),
        encoded(None),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[NaN,1]").decode(),
        base64.urlsafe_b64encode(b"[1e400,1]").decode(),
        base64.urlsafe_b64encode(b"[" + b"9" * 5000 + b",1]").decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
    ids=lambda token: ascii(token)[:20],
)
def test_a_token_that_no_page_gave_is_refused_by_its_field(token: str) -> None:
    with pytest.raises(DomainError) as refusal:
        PageRequest.of(10, token).after(2)
    assert refusal.value.reason == "INVALID_REQUEST"
    assert [violation.field for violation in refusal.value.violations] == ["page_token"]


@given(st.text(min_size=1, max_size=80))
def test_no_text_breaks_it(token: str) -> None:
    position: tuple[int, ...] | None = None
    with contextlib.suppress(DomainError):
        position = PageRequest.of(10, token).after(2)
    assert position is None or len(position) == 2
