"""Messages and enums of the contracts as JSON Schemas.

A request and a response see one message differently: a request must hold what its rules ask for and may hold nothing
unknown; a response holds every field that has a default, and may grow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.openapi.names import Names
from gateway.openapi.rules import Schema, is_required, keywords, message_rules, refused_numbers, rules_of
from gateway.transcoding.faults import ContractError
from gateway.transcoding.scalars import TIMESTAMP, integer_range, is_integer, short_names

_INT32_BITS = 1 << 32


class SchemaBook:
    """Collects the named schemas of a document while its operations are described."""

    def __init__(self, comments: Mapping[str, str], names: Names) -> None:
        self._comments = comments
        self._names = names
        self._owners: dict[str, tuple[str, bool]] = {}
        self.schemas: dict[str, Schema] = {}

    def comment(self, full_name: str) -> str:
        """What the contract says about a name."""
        return self._comments.get(full_name, "")

    def request_schema(self, message: Descriptor, left_out: Collection[str] = ()) -> Schema:
        """The schema of a body, without the fields that the path carries."""
        return self._object(message, is_request=True, left_out=left_out)

    def message_reference(self, message: Descriptor, *, is_request: bool) -> Schema:
        """Name a message's schema, and describe it once. What a request holds has a name and rules of its own."""
        name = self._names.schema(message) + ("Input" if is_request else "")
        if self._owners.setdefault(name, (message.full_name, is_request)) != (message.full_name, is_request):
            raise ContractError(message.full_name, f"the name {name} stands for two schemas in the OpenAPI document")
        if name not in self.schemas:
            self.schemas[name] = self._object(message, is_request=is_request)
        return {"$ref": f"#/components/schemas/{name}"}

    def field_schema(self, field: FieldDescriptor, *, is_request: bool) -> Schema:
        """The schema of one field, with its comment and, in a request, its rules."""
        rules = rules_of(field)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            schema: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._value(field, is_request=is_request)}
            if is_request and isinstance(items := schema["items"], dict):
                items.update(keywords(rules.repeated.items))
        else:
            schema = self._value(field, is_request=is_request)
        if is_request:
            schema.update(keywords(rules))
        return {**schema, "description": self._field_description(field, is_request=is_request)}

    def _object(self, message: Descriptor, *, is_request: bool, left_out: Collection[str] = ()) -> Schema:
        fields = [field for field in message.fields if field.name not in left_out]
        rules = (f"Rule: {text}." for text in message_rules(message))
        schema: Schema = {
            "type": "object",
            "description": " ".join([self.comment(message.full_name), *rules]),
            "properties": {field.json_name: self.field_schema(field, is_request=is_request) for field in fields},
        }
        required = [
            field.json_name for field in fields if (is_required(field) if is_request else not field.has_presence)
        ]
        if required:
            schema["required"] = list(required)
        if is_request:
            schema["additionalProperties"] = False
        return schema

    def _value(self, field: FieldDescriptor, *, is_request: bool) -> Schema:
        if field.enum_type is not None:
            return self._enum(field, field.enum_type, is_request=is_request)
        if field.message_type is not None:
            if field.message_type.full_name == TIMESTAMP:
                return {"type": "string", "format": "date-time"}
            return self.message_reference(field.message_type, is_request=is_request)
        if is_integer(field):
            least, greatest = integer_range(field)
            return {"type": "integer", "format": "int32" if greatest - least < _INT32_BITS else "int64"}
        return {"type": "boolean" if field.type == FieldDescriptor.TYPE_BOOL else "string"}

    def _enum(self, field: FieldDescriptor, enum: EnumDescriptor, *, is_request: bool) -> Schema:
        if not is_request:
            name = self._names.schema(enum)
            self.schemas.setdefault(name, self._enum_schema(enum, frozenset()))
            return {"$ref": f"#/components/schemas/{name}"}
        # Written out where it is asked for: each field takes its own part of the values.
        return self._enum_schema(enum, refused_numbers(rules_of(field)))

    def _enum_schema(self, enum: EnumDescriptor, refused: frozenset[int]) -> Schema:
        taken = {number: name for number, name in sorted(short_names(enum).items()) if number not in refused}
        lines = [
            f"- `{name}`: {self.comment(f'{enum.full_name}.{enum.values_by_number[number].name}')}"
            for number, name in taken.items()
        ]
        description = "\n".join([self.comment(enum.full_name), *lines])
        return {"type": "string", "enum": list(taken.values()), "description": description}

    def _field_description(self, field: FieldDescriptor, *, is_request: bool) -> str:
        text = self.comment(field.full_name)
        if field.enum_type is None or not is_request:
            return text
        values = self._enum_schema(field.enum_type, refused_numbers(rules_of(field)))["description"]
        return f"{text}\n\n{values}"
