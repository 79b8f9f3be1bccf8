"""Single values: how each scalar, enum and time of the contracts is written in JSON and in a URL.

The mapping is that of protobuf's JSON with three differences, made for callers: 64-bit integers are written as numbers
(the contracts keep them below 2^53), enums by their short lower-case name, and times always with milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.transcoding.faults import FieldFault

Decode = Callable[[object], object]
"""Turns one parsed JSON value into what the field of a message takes. Raises FieldFault."""

TIMESTAMP = "google.protobuf.Timestamp"

_INTEGER_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_SINT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_FIXED32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_SINT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT64: (0, (1 << 64) - 1),
    FieldDescriptor.TYPE_FIXED64: (0, (1 << 64) - 1),
}
_DECIMAL = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_EXACT_FLOAT_MAX = float(1 << 53)
_RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-5][0-9])",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP_SECONDS_MIN = -62_135_596_800
_TIMESTAMP_SECONDS_MAX = 253_402_300_799
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def is_integer(field: FieldDescriptor) -> bool:
    """Whether the field is one of protobuf's whole numbers."""
    return field.type in _INTEGER_RANGES


def integer_range(field: FieldDescriptor) -> tuple[int, int]:
    """The least and the greatest value that an integer field can hold."""
    return _INTEGER_RANGES[field.type]


def scalar_decoder(field: FieldDescriptor) -> Decode | None:
    """How one JSON value of the field is read; None when its type has no mapping here (floats, bytes, messages)."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return decode_string
    if field.type == FieldDescriptor.TYPE_BOOL:
        return decode_bool
    if field.enum_type is not None:
        return enum_decoder(field.enum_type)
    return integer_decoder(*integer_range(field)) if is_integer(field) else None


def text_decoder(field: FieldDescriptor) -> Decode | None:
    """How one value of the field is read from a path or a query, where everything is text."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return decode_bool_text
    if field.enum_type is not None:
        return enum_text_decoder(field.enum_type)
    return scalar_decoder(field)


def decode_string(value: object) -> str:
    if type(value) is not str:
        raise FieldFault("must be a string")
    return value


def decode_bool(value: object) -> bool:
    if type(value) is not bool:
        raise FieldFault("must be true or false")
    return value


def decode_bool_text(value: object) -> bool:
    if value not in {"true", "false"}:
        raise FieldFault("must be true or false")
    return value == "true"


def integer_decoder(least: int, greatest: int) -> Decode:
    """Read a number without a fraction, or a string of decimal digits."""

    def decode(value: object) -> int:
        number = value if type(value) is int else _whole_number(value)
        if not least <= number <= greatest:
            raise FieldFault(f"must be between {least} and {greatest}")
        return number

    return decode


def _whole_number(value: object) -> int:
    if type(value) is str and _DECIMAL.fullmatch(value):
        return int(value)
    if type(value) is float and value.is_integer():
        if abs(value) > _EXACT_FLOAT_MAX:
            raise FieldFault("is too large to be exact; write it without an exponent, or as a string")
        return int(value)
    raise FieldFault("must be a whole number")


def short_names(enum: EnumDescriptor) -> dict[int, str]:
    """The lower-case name of each value without the enum's own name: SMS_STATUS_DELIVERED is `delivered`."""
    prefix = _WORD_START.sub("_", enum.name).upper() + "_"
    # The first name of an aliased number counts, as in protobuf's JSON.
    return {value.number: value.name.removeprefix(prefix).lower() for value in reversed(enum.values)}


def enum_decoder(enum: EnumDescriptor) -> Decode:
    """Read a value's short or full name in any case, or its number."""
    shown = short_names(enum)
    by_name = {value.name.lower(): value.number for value in enum.values}
    by_name.update({name: number for number, name in shown.items()})
    # Number 0 says that the field is not set: it can be left out, and is refused where it cannot.
    complaint = "must be one of " + ", ".join(shown[number] for number in sorted(shown) if number)

    def decode(value: object) -> int:
        number = by_name.get(value.lower()) if type(value) is str else value
        if type(number) is not int or number not in shown:
            raise FieldFault(complaint)
        return number

    return decode


def enum_text_decoder(enum: EnumDescriptor) -> Decode:
    """Read a name, or a number written in digits."""
    decode_value = enum_decoder(enum)

    def decode(value: object) -> object:
        return decode_value(int(value) if type(value) is str and _DECIMAL.fullmatch(value) else value)

    return decode


def decode_timestamp(value: object) -> Timestamp:
    """Read RFC 3339 with any offset and up to nine digits of fraction."""
    match = _RFC_3339.fullmatch(value) if type(value) is str else None
    if match is None:
        raise FieldFault("must be a time as in RFC 3339, for example 2027-01-31T08:30:00+08:00")
    date, clock, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError:
        raise FieldFault("must be a time that exists") from None
    since_epoch = moment - _EPOCH
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    if not _TIMESTAMP_SECONDS_MIN <= seconds <= _TIMESTAMP_SECONDS_MAX:
        raise FieldFault("must be a time between the years 1 and 9999")
    return Timestamp(seconds=seconds, nanos=int((fraction or "0").ljust(9, "0")))


def encode_timestamp(value: Timestamp) -> str:
    """Write RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(value.seconds, UTC)
    return f"{moment.isoformat()[:19]}.{value.nanos // 1_000_000:03d}Z"


def enum_encoder(enum: EnumDescriptor) -> Callable[[int], str | int]:
    """Write a value's short name; a number that this version of the contract does not know stays a number."""
    shown = short_names(enum)

    def encode(number: int) -> str | int:
        return shown.get(number, number)

    return encode
