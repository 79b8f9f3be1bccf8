from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.phones import Phone, normalise, normalise_by_library

DIGITS = st.text(st.sampled_from("0123456789"), max_size=13)
MAINLAND = st.builds("1{}{}".format, st.integers(30, 99), st.integers(0, 10**8 - 1).map("{:08d}".format))
ARABIC_ONE = "\u0661"
FULLWIDTH_ONE = "\uff11"
SPELLING = st.sampled_from(["", "86", "+86", "0086", "086", "+860", "0", "00", "+", " ", "+1", "+852"])
NEARLY_A_PHONE = st.text(st.sampled_from(f"0123456789+-() .x\n{ARABIC_ONE}{FULLWIDTH_ONE}"), max_size=26)


@pytest.mark.parametrize("prefix", ["138", "192", "170", "166"])
@pytest.mark.parametrize("spelling", ["", "86", "+86", "0086"])
def test_takes_mainland_mobiles(prefix: str, spelling: str) -> None:
    assert normalise(f"{spelling}{prefix}00138000") == Phone(f"+86{prefix}00138000", is_mainland=True)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "14100138000",
        "12000138000",
        "1380013800",
        "138001380001",
        "861380013800",
        "+8614100138000",
        "01012345678",
        "+862112345678",
        "4001234567",
        "10086",
        "110",
        "abcdefghijk",
        "1380013800x",
        "13800138000 ext. 5",
        "tel:13800138000",
        "13800138000\n",
        FULLWIDTH_ONE + "3800138000",
        "13800138000,13800138001",
        "+",
        "+8613800138000000000000000",
        "+99913800138000",
    ],
)
def test_refuses_what_is_no_mobile(written: str) -> None:
    assert normalise(written) is None


@pytest.mark.parametrize(
    ("written", "e164"),
    [
        ("+85291234567", "+85291234567"),
        ("0085291234567", "+85291234567"),
        ("+85366123456", "+85366123456"),
        ("+886912345678", "+886912345678"),
        ("+447911123456", "+447911123456"),
        ("+14155552671", "+14155552671"),
        ("+65 9123 4567", "+6591234567"),
    ],
)
def test_takes_mobiles_of_other_countries(written: str, e164: str) -> None:
    assert normalise(written) == Phone(e164, is_mainland=False)


def test_a_plus_decides_the_country_of_eleven_digits() -> None:
    assert normalise("13105551234") == Phone("+8613105551234", is_mainland=True)
    assert normalise("+13105551234") == Phone("+13105551234", is_mainland=False)


@pytest.mark.parametrize("fixed", ["+442079460123", "+85221234567", "+8601012345678"])
def test_refuses_fixed_lines(fixed: str) -> None:
    assert normalise(fixed) is None


@pytest.mark.parametrize(
    "written", ["138 0013 8000", "138-0013-8000", "+86 (138) 0013.8000", "(138)00138000", "013800138000"]
)
def test_takes_separators_and_the_trunk_zero(written: str) -> None:
    assert normalise(written) == Phone("+8613800138000", is_mainland=True)


def test_fast_path_agrees_with_the_library_on_every_prefix() -> None:
    numbers = [f"1{prefix:04d}138000" for prefix in range(10_000)]
    assert [normalise(number) for number in numbers] == [normalise_by_library(number) for number in numbers]


@given(SPELLING, st.one_of(DIGITS, MAINLAND))
def test_fast_path_agrees_with_the_library_on_digits(spelling: str, digits: str) -> None:
    assert normalise(spelling + digits) == normalise_by_library(spelling + digits)


@given(st.one_of(NEARLY_A_PHONE, st.text(max_size=30)))
def test_fast_path_agrees_with_the_library_on_any_text(written: str) -> None:
    assert normalise(written) == normalise_by_library(written)


@given(st.one_of(NEARLY_A_PHONE, MAINLAND))
def test_what_is_taken_is_e164_and_stays_itself(written: str) -> None:
    phone = normalise(written)
    if phone is None:
        return
    assert phone.e164[0] == "+"
    assert phone.e164[1:].isascii()
    assert phone.e164[1:].isdigit()
    assert phone.is_mainland == phone.e164.startswith("+86")
    assert normalise(phone.e164) == phone
