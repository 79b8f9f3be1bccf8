"""Writing messages as JSON: one closure a message type, compiled once.

Every field is written, with its default where it is unset, so that a caller sees `"available": 0`; only messages, and
scalars declared `optional`, are left out while they are unset.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.transcoding.faults import ContractError
from gateway.transcoding.scalars import TIMESTAMP, encode_timestamp, enum_encoder, is_integer

EncodeMessage = Callable[[Message], dict[str, object]]
# The values are what protobuf's attributes are: no common type says more than Any.
_EncodeValue = Callable[[Any], object]


def response_encoder(descriptor: Descriptor, rpc: str) -> Callable[[Message], bytes]:
    """Compile the writer of an rpc's response. Raises ContractError."""
    encode = message_encoder(descriptor, rpc, ())

    def encode_response(message: Message) -> bytes:
        return orjson.dumps(encode(message))

    return encode_response


def message_encoder(descriptor: Descriptor, rpc: str, outer: tuple[str, ...]) -> EncodeMessage:
    """Compile the writer of one message type. `outer` are the types around it. Raises ContractError."""
    if descriptor.full_name in outer:
        raise ContractError(rpc, f"{descriptor.full_name} contains itself, which has no bound in JSON")
    inner = (*outer, descriptor.full_name)
    names = [field.json_name for field in descriptor.fields]
    get_all = _getter([field.name for field in descriptor.fields])
    compiled = [(field, _field_encoder(field, rpc, inner)) for field in descriptor.fields]
    converted = [
        (field.json_name, encode_value)
        for field, encode_value in compiled
        if encode_value is not None and not field.has_presence
    ]
    optional = [
        (field.name, field.json_name, encode_present) for field, encode_present in compiled if field.has_presence
    ]

    def encode(message: Message) -> dict[str, object]:
        written = dict(zip(names, get_all(message), strict=True))
        for json_name, encode_value in converted:
            written[json_name] = encode_value(written[json_name])
        for name, json_name, encode_present in optional:
            if not message.HasField(name):
                del written[json_name]
            elif encode_present is not None:
                written[json_name] = encode_present(written[json_name])
        return written

    return encode


def _getter(names: list[str]) -> Callable[[Message], tuple[object, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    # attrgetter answers a tuple for two names and more only.
    return lambda message: tuple(getattr(message, name) for name in names)


def _field_encoder(field: FieldDescriptor, rpc: str, outer: tuple[str, ...]) -> _EncodeValue | None:
    """How the value of a field is made fit for JSON; None when it is so already."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict
    encode = _value_encoder(field, rpc, outer)
    if not field.is_repeated:
        return encode
    if encode is None:
        return list
    return lambda values: [encode(value) for value in values]


def _value_encoder(field: FieldDescriptor, rpc: str, outer: tuple[str, ...]) -> _EncodeValue | None:
    if field.enum_type is not None:
        return enum_encoder(field.enum_type)
    if field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BOOL} or is_integer(field):
        return None
    message = field.message_type
    if message is not None and message.full_name == TIMESTAMP:
        return encode_timestamp
    if message is None or message.file.package.startswith("google."):
        raise ContractError(rpc, f"{field.full_name} has a type without a JSON mapping here")
    return message_encoder(message, rpc, outer)
