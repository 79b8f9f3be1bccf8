"""Schemas of the document as tables of fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from gateway.docs_page.html import Html, inline, join, prose, table, tag

Document: TypeAlias = Mapping[str, Any]
"""JSON of an OpenAPI document, or a part of it: its shape is that specification's."""

_COUNTED = (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "items"))
_COMPARED = {"exclusiveMinimum": "more than", "minimum": "from", "exclusiveMaximum": "less than", "maximum": "up to"}
_GREATEST_EXACT = (1 << 53) - 1


def field_table(schema: Document, *, is_request: bool) -> Html:
    """One row a field: name, type, what it means and its bounds.

    Marked are the fewer: what a request must hold, and what an answer may leave out.
    """
    required = schema.get("required", ())
    rows = [
        (
            _name(name, _mark(name in required, is_request)),
            type_of(field),
            described(field, field.get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return table(("field", "type", "meaning"), rows)


def parameter_table(parameters: list[Document]) -> Html:
    """One row a parameter of the path or the query."""
    rows = [
        (
            _name(parameter["name"], _mark(parameter["required"], is_request=True)),
            parameter["in"],
            type_of(parameter["schema"]),
            described(parameter["schema"], parameter["description"]),
        )
        for parameter in parameters
    ]
    return table(("parameter", "in", "type", "meaning"), rows)


def _mark(is_required: bool, is_request: bool) -> str:
    if is_request:
        return "required" if is_required else ""
    return "" if is_required else "optional"


def _name(name: str, mark: str) -> Html:
    return join(tag("code", name), tag("span", mark, class_=f"mark {mark}") if mark else "")


def type_of(schema: Document) -> Html:
    """The type in a word or two, with a link where it has its own table."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return tag("a", name, href=f"#schema-{name}")
    if schema.get("type") == "array":
        return join("list of ", type_of(schema["items"]))
    if schema.get("format") == "date-time":
        return join("time")
    return join(str(schema.get("type", "")))


def described(schema: Document, description: str) -> Html:
    """What a field means, and its bounds."""
    bounds = ", ".join(_bounds(schema))
    return join(prose(description), tag("p", inline(bounds), class_="bounds") if bounds else "")


def _bounds(schema: Document) -> Iterator[str]:
    for least, most, unit in _COUNTED:
        if most in schema:
            yield f"{schema.get(least, 0):,} to {schema[most]:,} {unit}"
        elif least in schema:
            yield f"at least {schema[least]:,} {unit}"
    for keyword, words in _COMPARED.items():
        # The greatest exact number is the bound of the notation, not of the field.
        if keyword in schema and schema[keyword] != _GREATEST_EXACT:
            yield f"{words} {schema[keyword]:,}"
    if "pattern" in schema:
        yield f"matches `{schema['pattern']}`"
