"""Building an rpc's request from a path, a query and a body, each of which owns its own fields."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.transcoding.faults import ContractError, FieldFault
from gateway.transcoding.json_decoding import Fields, body_decoder
from gateway.transcoding.routes import Route
from gateway.transcoding.scalars import Decode, text_decoder
from mesh.errors import invalid_field

QUERY_PARAMETERS_MAX = 100


class RequestBinder:
    """Reads the requests of one route. Every refusal is INVALID_REQUEST or JSON_MALFORMED and names the field."""

    def __init__(self, route: Route) -> None:
        """Raises ContractError when a field of the request has no JSON mapping."""
        descriptor = route.method.input_type
        fields = descriptor.fields_by_name
        self._message_class: type[Message] = GetMessageClass(descriptor)
        self._path_fields = [_TextField(fields[name], route.rpc) for name in route.template.fields]
        self._query_fields: dict[str, _TextField] = {}
        for name in route.query_fields:
            field = _TextField(fields[name], route.rpc)
            self._query_fields[field.name] = self._query_fields[field.json_name] = field
        self._decode_body = body_decoder(descriptor, route.rpc, route.template.fields) if route.has_body else None

    def bind_path(self, values: Sequence[str]) -> Fields:
        """Read the path's variables."""
        return {field.name: field.decode(value) for field, value in zip(self._path_fields, values, strict=True)}

    def bind(self, path_fields: Fields, query_string: bytes, body: bytes) -> Message:
        """Build the request."""
        fields = self._bind_query(query_string) if query_string else {}
        if self._decode_body is not None:
            fields.update(self._decode_body(body))
        elif body:
            raise invalid_field("", "this operation takes no body")
        return self._message_class(**path_fields, **fields)

    def _bind_query(self, query_string: bytes) -> Fields:
        try:
            pairs = parse_qsl(
                query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=QUERY_PARAMETERS_MAX,
            )
        except UnicodeDecodeError:
            raise invalid_field("", "the query is not percent-encoded UTF-8") from None
        except ValueError:
            raise invalid_field("", f"more than {QUERY_PARAMETERS_MAX} query parameters") from None
        collected: dict[str, list[object]] = {}
        for name, text in pairs:
            field = self._query_fields.get(name)
            if field is None:
                raise invalid_field(FieldFault("").inside(name).path, "is not a query parameter of this operation")
            collected.setdefault(field.name, []).append(field.decode(text))
        return {name: self._query_fields[name].combine(values) for name, values in collected.items()}


class _TextField:
    """One field whose value comes as text."""

    def __init__(self, field: FieldDescriptor, rpc: str) -> None:
        decode = text_decoder(field)
        if decode is None:
            raise ContractError(rpc, f"{field.full_name} cannot be read from text")
        self.name: str = field.name
        self.json_name: str = field.json_name
        self._is_repeated: bool = field.is_repeated
        self._decode: Decode = decode

    def decode(self, text: str) -> object:
        try:
            return self._decode(text)
        except FieldFault as fault:
            raise invalid_field(self.json_name, fault.description) from None

    def combine(self, values: list[object]) -> object:
        if self._is_repeated:
            return values
        if len(values) > 1:
            raise invalid_field(self.json_name, "is given twice")
        return values[0]
