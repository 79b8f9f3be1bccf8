from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_rpc.template import PLACE, Template, TemplateError

PLAIN = st.text(st.characters(exclude_characters=",;{}$", exclude_categories=["Cs", "Cc"]), max_size=12)
VALUE = PLAIN.filter(lambda value: bool(value.strip()))


def refused(text: str, values: list[str]) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        Template.parse(text).render(values)
    return caught.value


@pytest.mark.parametrize("places", [1, 20])
def test_takes_1_to_20_places(places: int) -> None:
    assert Template.parse("【Blue Bay】" + PLACE * places).place_count == places


@pytest.mark.parametrize("places", [0, 21])
def test_refuses_other_counts_of_places(places: int) -> None:
    assert refused("【Blue Bay】" + PLACE * places, []).message == f"has {places} {{$var}}: a variable text has 1 to 20"


@pytest.mark.parametrize("text", ["{var}", "{$VAR}", "{$var", "$var}", "{$ var}"])
def test_takes_only_the_exact_place(text: str) -> None:
    assert refused(text, []).message == "has 0 {$var}: a variable text has 1 to 20"


def test_fills_places_in_order() -> None:
    template = Template.parse("【Blue Bay】Dear {$var}, table {$var} is ready")
    assert template.render(["Lin", "7"]) == "【Blue Bay】Dear Lin, table 7 is ready"


@pytest.mark.parametrize("values", [[], ["Lin", "7"]])
def test_refuses_a_wrong_count_of_values(values: list[str]) -> None:
    assert refused("【Blue Bay】{$var}", values).message == f"has {len(values)} values: the text has 1 {{$var}}"


@pytest.mark.parametrize("empty", ["", " ", "\t\n", "\u3000"])
def test_refuses_an_empty_value_and_names_it(empty: str) -> None:
    error = refused("【Blue Bay】{$var}{$var}", ["Lin", empty])
    assert (error.message, error.value_index) == ("is empty: each place needs a value", 1)


@pytest.mark.parametrize("value", [",", "a;b", "7,", ";"])
def test_refuses_a_value_with_a_separator_and_names_it(value: str) -> None:
    error = refused("【Blue Bay】{$var}{$var}{$var}", ["Lin", value, ","])
    message = "holds a comma or a semicolon: the provider would read them as the end of the value"
    assert (error.message, error.value_index) == (message, 1)


@pytest.mark.parametrize("value", ["\0", "a\x1b", "\b\b", "7\x7f"])
def test_refuses_a_value_with_a_control_character_and_names_it(value: str) -> None:
    error = refused("【Blue Bay】{$var}{$var}", ["Lin\n\t", value])
    assert (error.message, error.value_index) == ("has a control character", 1)


def test_takes_the_separators_of_chinese_text() -> None:
    fullwidth = "\uff0c\uff1b"
    assert Template.parse("【Blue Bay】{$var}").render([fullwidth]) == f"【Blue Bay】{fullwidth}"


@pytest.mark.parametrize("values", [["{$var}", "7"], ["{$", "7"]])
def test_refuses_values_that_make_a_new_place(values: list[str]) -> None:
    error = refused("【Blue Bay】{$var}var}{$var}", values)
    assert error.message == "a value makes a new {$var}: the provider would fill it again"


def test_bounds_the_filled_text_with_its_signature() -> None:
    signed = "【Blue Bay】"
    longest = "x" * (536 - len(signed))
    template = Template.parse(signed + PLACE)
    assert len(template.render([longest])) == 536
    error = refused(signed + PLACE, [longest + "x"])
    assert error.message == "has 537 characters when filled: at most 536, signature included"


@given(st.lists(st.tuples(PLAIN, VALUE), min_size=1, max_size=20), PLAIN)
def test_renders_what_replacing_one_place_after_the_other_gives(filled: list[tuple[str, str]], tail: str) -> None:
    text = "".join(piece + PLACE for piece, _ in filled) + tail
    expected = text
    for _, value in filled:
        expected = expected.replace(PLACE, value, 1)
    assert Template.parse(text).render([value for _, value in filled]) == expected


@given(st.text(max_size=60), st.lists(st.text(max_size=8), max_size=4))
def test_never_renders_what_the_provider_would_read_otherwise(text: str, values: list[str]) -> None:
    filled = ""
    with contextlib.suppress(TemplateError):
        filled = Template.parse(text).render(values)
    assert PLACE not in filled
    assert not filled or not set(",;") & set("".join(values))
