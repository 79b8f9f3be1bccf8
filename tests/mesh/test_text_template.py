from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.text_template import PLACES_MAX, MissingParameterError, TemplateError, parse_template


def test_places_are_filled_as_the_kitchen_reads_them() -> None:
    template = parse_template("{roomName}房间下单了{goodsName}{num}份,请注意")
    assert template.parameters == ("roomName", "goodsName", "num")
    filled = template.render({"roomName": "801", "goodsName": "水饺", "num": "2", "unused": "x"})
    assert filled == "801房间下单了水饺2份,请注意"


def test_a_missing_value_is_named_and_nothing_is_filled() -> None:
    with pytest.raises(MissingParameterError, match=r"\{num\}") as caught:
        parse_template("{goodsName}{num}").render({"goodsName": "水饺"})
    assert caught.value.name == "num"


def test_an_empty_value_is_a_value() -> None:
    assert parse_template("[{note}]").render({"note": ""}) == "[]"


@pytest.mark.parametrize("value", ["{num}", "{{", "}", "{0.__class__}"])
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    assert parse_template("<{name}>").render({"name": value}) == f"<{value}>"


def test_doubled_braces_are_braces() -> None:
    assert parse_template("{{{num}}} {{num}}").render({"num": "2"}) == "{2} {num}"


@pytest.mark.parametrize(
    "text",
    ["{", "}", "a { b", "{num", "num}", "{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>10}", "{a b}", "{房间}", "{a-b}"],
)
def test_what_is_not_a_place_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(text)


def test_places_are_bounded() -> None:
    parse_template("{a}" * PLACES_MAX)
    with pytest.raises(TemplateError, match="more than"):
        parse_template("{a}" * (PLACES_MAX + 1))


def test_a_name_is_listed_once() -> None:
    assert parse_template("{b}{a}{b}").parameters == ("b", "a")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        template = parse_template(text)
    except TemplateError:
        return
    rendered = template.render(dict.fromkeys(template.parameters, ""))
    assert rendered == "".join(literal for literal, _ in template.pieces)


@given(st.text())
def test_any_text_can_be_written_as_a_template(text: str) -> None:
    assert parse_template(text.replace("{", "{{").replace("}", "}}")).render({}) == text
