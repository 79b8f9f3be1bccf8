from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_rpc.segments import GSM_BASIC, GSM_EXTENSION, count_international, count_mainland

GSM_TEXT = st.text(st.sampled_from(sorted(GSM_BASIC | GSM_EXTENSION)), max_size=700)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("characters", "segments"),
    [(0, 1), (1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4), (536, 8)],
)
def test_mainland_bills_70_characters_or_67_a_segment(characters: int, segments: int) -> None:
    assert count_mainland("码" * characters) == segments


@pytest.mark.parametrize("character", ["码", "a", " ", "€", "😀"])
def test_mainland_counts_every_character_as_one(character: str) -> None:
    assert count_mainland(character * 70) == 1
    assert count_mainland(character * 71) == 2


@given(st.text(max_size=600))
def test_mainland_is_the_least_number_of_segments_that_hold_the_text(text: str) -> None:
    segments = count_mainland(text)
    assert len(text) <= (70 if segments == 1 else 67 * segments)
    assert segments == 1 or len(text) > (70 if segments == 2 else 67 * (segments - 1))


def test_gsm_alphabet_has_the_size_of_the_standard() -> None:
    assert len(GSM_BASIC) == 127
    assert len(GSM_EXTENSION) == 10
    assert not GSM_BASIC & GSM_EXTENSION


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        # 153 is odd, so a part of escaped characters alone holds 76 of them and wastes a septet.
        ("€" * 152, 2),
        ("€" * 153, 3),
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("码" * 70, 1),
        ("码" * 71, 2),
        ("码" * 134, 2),
        ("码" * 135, 3),
        ("ç" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        # 67 is odd, so a part of surrogate pairs alone holds 33 of them and wastes a unit.
        ("😀" * 66, 2),
        ("😀" * 67, 3),
        ("码" * 66 + "😀" + "码" * 65, 2),
        ("码" * 66 + "😀" + "码" * 66, 3),
    ],
)
def test_international_counts(text: str, segments: int) -> None:
    assert count_international(text) == segments


def encode_units(text: str) -> tuple[list[str], int, int]:
    """Write a text as the units that go over the air, each unit that must stay with the one before it marked "+"."""
    if set(text) <= GSM_BASIC | GSM_EXTENSION:
        return [unit for c in text for unit in (["e", "+"] if c in GSM_EXTENSION else ["c"])], 160, 153
    encoded = text.encode("utf-16-be")
    units = [encoded[at : at + 2] for at in range(0, len(encoded), 2)]
    return ["+" if 0xDC <= unit[0] <= 0xDF else "c" for unit in units], 70, 67


def count_by_search(text: str) -> int:
    """Try every place at which a part may end: the least number of parts, found from the end of the text."""
    units, single, part = encode_units(text)
    if len(units) <= single:
        return 1
    fewest = [0] * (len(units) + 1)
    for begin in reversed(range(len(units))):
        ends = range(begin + 1, min(begin + part, len(units)) + 1)
        fewest[begin] = 1 + min(fewest[end] for end in ends if end == len(units) or units[end] != "+")
    return fewest[0]


@given(st.one_of(GSM_TEXT, ANY_TEXT))
def test_international_agrees_with_a_search_of_all_splits(text: str) -> None:
    assert count_international(text) == count_by_search(text)


@given(st.text(st.sampled_from("a€"), min_size=140, max_size=340))
def test_escapes_near_the_boundaries_agree_with_the_search(text: str) -> None:
    assert count_international(text) == count_by_search(text)


@given(st.text(st.sampled_from("码😀"), min_size=30, max_size=140))
def test_surrogate_pairs_near_the_boundaries_agree_with_the_search(text: str) -> None:
    assert count_international(text) == count_by_search(text)
