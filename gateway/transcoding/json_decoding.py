"""Reading JSON into messages: one closure a message type, compiled once.

A decoder answers the keyword arguments of its message; nested messages stay dictionaries, which protobuf's constructor
takes as they are, so that a request is built in one call. Lists of strings are checked as a whole and handed on
without a step a item: a send to 100,000 phones is one list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Never

import grpc
import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.transcoding.faults import ContractError, FieldFault
from gateway.transcoding.scalars import TIMESTAMP, Decode, decode_string, decode_timestamp, scalar_decoder
from mesh.errors import DomainError, invalid_field

Fields = dict[str, object]
DecodeMessage = Callable[[object], Fields]

_UNMAPPED = "has a type without a JSON mapping here (float, double, bytes, group, Any and their like)"


def body_decoder(descriptor: Descriptor, rpc: str, bound_in_path: Collection[str]) -> Callable[[bytes], Fields]:
    """Compile the reader of an rpc's body. Fields that the path carries are refused in it. Raises ContractError."""
    decode_message = message_decoder(descriptor, rpc, (), bound_in_path)

    def decode(body: bytes) -> Fields:
        parsed = _parse(body)
        try:
            fields = decode_message(parsed)
            refuse_duplicates(parsed, body)
        except FieldFault as fault:
            raise invalid_field(fault.path, fault.description) from fault
        return fields

    return decode


def _parse(body: bytes) -> object:
    # orjson refuses NaN, lone surrogates, invalid UTF-8 and more than 1,024 levels.
    try:
        return orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise DomainError(
            grpc.StatusCode.INVALID_ARGUMENT, "JSON_MALFORMED", f"the body is not JSON in UTF-8: {error.msg}"
        ) from None


def refuse_duplicates(parsed: object, body: bytes) -> None:
    """Refuse a body with an object that names a member twice. `parsed` is what orjson made of it, and is not deep.

    orjson keeps the last of them. Another reader on the way may keep the first, and what was checked would not be what
    is done: neither is taken.
    """
    # Each member of an object has one colon: as many colons as members is proof that no name came twice.
    if body.count(b":") != _count_members(parsed):
        json.loads(body, object_pairs_hook=_refuse_pairs)


def _count_members(value: object) -> int:
    if type(value) is dict:
        return len(value) + sum(_count_members(item) for item in value.values() if type(item) in {dict, list})
    if type(value) is list and {dict, list} & set(map(type, value)):
        return sum(map(_count_members, value))
    return 0


def _refuse_pairs(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise FieldFault("is given twice").inside(name)
        seen.add(name)


def message_decoder(
    descriptor: Descriptor, rpc: str, outer: tuple[str, ...], bound_in_path: Collection[str] = ()
) -> DecodeMessage:
    """Compile the reader of one message type. `outer` are the types around it. Raises ContractError."""
    if descriptor.full_name in outer:
        raise ContractError(rpc, f"{descriptor.full_name} contains itself, which has no bound in JSON")
    by_name: dict[str, tuple[str, str, Decode]] = {}
    for field in descriptor.fields:
        bound = field.name in bound_in_path
        decode = _refuse_bound if bound else field_decoder(field, rpc, (*outer, descriptor.full_name))
        by_name[field.json_name] = by_name[field.name] = (field.name, field.json_name, decode)
    check_oneofs = _oneof_check(descriptor)

    def decode_message(value: object) -> Fields:
        if type(value) is not dict:
            raise FieldFault("must be an object")
        fields: Fields = {}
        for key, item in value.items():
            known = by_name.get(key)
            if known is None:
                raise FieldFault("is not a field of this request").inside(key)
            name, json_name, decode = known
            try:
                fields[name] = decode(item)
            except FieldFault as fault:
                raise fault.inside(json_name) from None
        if len(fields) != len(value):
            _raise_named_twice(by_name, value)
        if check_oneofs is not None:
            check_oneofs(fields)
        return fields

    return decode_message


def _refuse_bound(_: object) -> Never:
    raise FieldFault("is given by the path and may not be in the body")


def _raise_named_twice(by_name: Mapping[str, tuple[str, str, Decode]], value: Mapping[str, object]) -> Never:
    seen: set[str] = set()
    for key in value:
        name, json_name, _ = by_name[key]
        if name in seen:
            raise FieldFault(f"is given twice, as {json_name} and as {name}").inside(json_name)
        seen.add(name)
    raise AssertionError("called for an object that names a field twice")


def _oneof_check(descriptor: Descriptor) -> Callable[[Fields], None] | None:
    oneofs = [
        {field.name: field.json_name for field in oneof.fields} for oneof in descriptor.oneofs if len(oneof.fields) > 1
    ]
    if not oneofs:
        return None

    def check(fields: Fields) -> None:
        for members in oneofs:
            given = [name for name in members if fields.get(name) is not None]
            if len(given) > 1:
                first, second = (members[name] for name in given[:2])
                raise FieldFault(f"may not be given together with {first}").inside(second)

    return check


def field_decoder(field: FieldDescriptor, rpc: str, outer: tuple[str, ...]) -> Decode:
    """Compile the reader of one field. Raises ContractError."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map_decoder(field, field.message_type, rpc)
    decode = scalar_decoder(field) or _nested_decoder(field, rpc, outer)
    if not field.is_repeated:
        return decode
    return decode_strings if decode is decode_string else _list_decoder(decode)


def _nested_decoder(field: FieldDescriptor, rpc: str, outer: tuple[str, ...]) -> Decode:
    message = field.message_type
    if message is None or (message.file.package.startswith("google.") and message.full_name != TIMESTAMP):
        raise ContractError(rpc, f"{field.full_name} {_UNMAPPED}")
    decode = decode_timestamp if message.full_name == TIMESTAMP else message_decoder(message, rpc, outer)
    if field.is_repeated:
        return decode

    def decode_or_unset(value: object) -> object:
        # protobuf's constructor takes None as "not set".
        return None if value is None else decode(value)

    return decode_or_unset


def decode_strings(value: object) -> list[str]:
    """Read a list of strings, however long, without a step an item."""
    if type(value) is not list:
        raise FieldFault("must be a list")
    if not set(map(type, value)) <= {str}:
        index = next(index for index, item in enumerate(value) if type(item) is not str)
        raise FieldFault("must be a string").at(index)
    return value


def _list_decoder(decode: Decode) -> Decode:
    def decode_list(value: object) -> list[object]:
        if type(value) is not list:
            raise FieldFault("must be a list")
        items: list[object] = []
        for item in value:
            try:
                items.append(decode(item))
            except FieldFault as fault:
                raise fault.at(len(items)) from None
        return items

    return decode_list


def _map_decoder(field: FieldDescriptor, entry: Descriptor, rpc: str) -> Decode:
    if {part.type for part in entry.fields} != {FieldDescriptor.TYPE_STRING}:
        raise ContractError(rpc, f"{field.full_name} is a map of something else than strings")

    def decode(value: object) -> dict[str, str]:
        if type(value) is not dict:
            raise FieldFault("must be an object")
        for name, item in value.items():
            if type(item) is not str:
                raise FieldFault("must be a string").inside(name)
        return value

    return decode
