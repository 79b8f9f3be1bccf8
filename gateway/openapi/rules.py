"""protovalidate's rules as keywords of JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from buf.validate import validate_pb2

Schema: TypeAlias = dict[str, "JsonValue"]
JsonValue: TypeAlias = str | int | float | bool | list["JsonValue"] | Schema | None

_INTEGER_RULES = frozenset(
    {"int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"}
)
_STRING_KEYWORDS = {"len": "minLength", "min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"}
_INTEGER_KEYWORDS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
_REPEATED_KEYWORDS = {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"}
_MAP_KEYWORDS = {"min_pairs": "minProperties", "max_pairs": "maxProperties"}


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    """The rules that the contract gives a field; empty ones when it gives none."""
    return field.GetOptions().Extensions[validate_pb2.field]


def keywords(rules: validate_pb2.FieldRules) -> Schema:
    """What the rules say of a field's value, in JSON Schema."""
    kind = rules.WhichOneof("type")
    if kind is None or rules.ignore == validate_pb2.IGNORE_ALWAYS:
        return {}
    names = {
        "string": _STRING_KEYWORDS,
        "repeated": _REPEATED_KEYWORDS,
        "map": _MAP_KEYWORDS,
        **dict.fromkeys(_INTEGER_RULES, _INTEGER_KEYWORDS),
    }.get(kind, {})
    given = getattr(rules, kind)
    return {keyword: getattr(given, rule) for rule, keyword in names.items() if given.HasField(rule)}


def refused_numbers(rules: validate_pb2.FieldRules) -> frozenset[int]:
    """The numbers of an enum that a field does not take."""
    return frozenset(rules.enum.not_in) | ({0} if rules.required else set())


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request without this field is refused: its rules do not allow the default."""
    rules = rules_of(field)
    if rules.required:
        return True
    if rules.ignore != validate_pb2.IGNORE_UNSPECIFIED:
        return False
    said = keywords(rules)
    pattern = said.get("pattern")
    return (
        0 in refused_numbers(rules)
        or _refuses_zero(rules)
        or said.get("exclusiveMinimum", -1) == 0
        or any(said.get(least, 0) != 0 for least in ("minLength", "minItems", "minProperties"))
        or _is_positive(said.get("minimum"))
        or (isinstance(pattern, str) and re.search(pattern, "") is None)
    )


def _refuses_zero(rules: validate_pb2.FieldRules) -> bool:
    kind = rules.WhichOneof("type")
    return kind in _INTEGER_RULES and 0 in getattr(rules, kind).not_in


def _is_positive(value: JsonValue) -> bool:
    return isinstance(value, int) and value > 0


def message_rules(message: Descriptor) -> Iterator[str]:
    """What a message's own rules say, in words."""
    rules = message.GetOptions().Extensions[validate_pb2.message]
    for rule in rules.cel:
        yield rule.message
