import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcoding.templates import PathTemplate, PathTree, TemplateError, parse_template


def tree(*templates: str) -> PathTree[str]:
    paths: PathTree[str] = PathTree()
    for template in templates:
        assert paths.add("GET", parse_template(template), template) is None
    return paths


def found(paths: PathTree[str], path: bytes) -> tuple[str, tuple[str, ...]] | None:
    match = paths.match(path)
    return None if match is None else (match.targets["GET"], match.values)


def test_template_has_its_segments_fields_and_verb() -> None:
    template = parse_template("/v1/brands/{brand_id}/sms/{message_id}:cancel")
    assert isinstance(template, PathTemplate)
    assert template.fields == ("brand_id", "message_id")
    assert template.verb == "cancel"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("v1/a", "does not begin with /"),
        ("/v1/**", "neither a literal nor one {field}"),
        ("/v1/*", "neither a literal nor one {field}"),
        ("/v1/{a.b}", "neither a literal nor one {field}"),
        ("/v1/{name=shelves/*}", "neither a literal nor one {field}"),
        ("/v1//a", "neither a literal nor one {field}"),
        ("/v1/", "neither a literal nor one {field}"),
        ("/v1/a:b/c", "neither a literal nor one {field}"),
        ("/v1/{a}/{a}", "names a field twice"),
    ],
)
def test_other_paths_are_refused(text: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said.replace("{", r"\{")):
        parse_template(text)


def test_literal_goes_before_variable_and_a_dead_end_is_left_again() -> None:
    paths = tree("/v1/{a}/x", "/v1/lots/y", "/v1/lots")
    assert found(paths, b"/v1/lots") == ("/v1/lots", ())
    assert found(paths, b"/v1/lots/y") == ("/v1/lots/y", ())
    assert found(paths, b"/v1/lots/x") == ("/v1/{a}/x", ("lots",))


def test_known_verb_goes_before_a_value_with_a_colon() -> None:
    paths = tree("/v1/sms/{id}", "/v1/sms/{id}:cancel", "/v1/sms:variable")
    assert found(paths, b"/v1/sms/7:cancel") == ("/v1/sms/{id}:cancel", ("7",))
    assert found(paths, b"/v1/sms/7:other") == ("/v1/sms/{id}", ("7:other",))
    assert found(paths, b"/v1/sms/7%3Acancel") == ("/v1/sms/{id}", ("7:cancel",))
    assert found(paths, b"/v1/sms:variable") == ("/v1/sms:variable", ())
    assert found(paths, b"/v1/sms") is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (b"/v1/a%2Fb", "a/b"),
        (b"/v1/..", ".."),
        (b"/v1/%2e%2e", ".."),
        (b"/v1/%E4%B8%AD", "中"),
        (b"/v1/+8613800138000", "+8613800138000"),
        (b"/v1/100%", "100%"),
    ],
)
def test_segment_is_decoded_by_itself_and_never_resolved(path: bytes, value: str) -> None:
    assert found(tree("/v1/{a}"), path) == ("/v1/{a}", (value,))


@pytest.mark.parametrize("path", [b"/v1/", b"/v1", b"/v1/a/", b"//v1/a", b"/V1/a", b"", b"/", b"v1/a"])
def test_other_shapes_match_nothing(path: bytes) -> None:
    assert found(tree("/v1/{a}"), path) is None


def test_path_that_is_not_utf_8_is_told_apart() -> None:
    with pytest.raises(UnicodeDecodeError):
        tree("/v1/{a}").match(b"/v1/%ff")


@given(st.binary(max_size=60))
def test_any_bytes_match_or_not_and_nothing_else(path: bytes) -> None:
    try:
        tree("/v1/{a}", "/v1/{a}:verb", "/v1/{a}/{b}").match(path)
    except UnicodeDecodeError:
        assert b"%" in path or not path.isascii()
