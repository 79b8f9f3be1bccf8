"""The comments of the .proto files, which travel in protos/contracts.binpb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

_Named = tuple[tuple[int, ...], str]

# Field numbers of descriptor.proto, which SourceCodeInfo.Location.path is made of.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _MESSAGE_NESTED, _MESSAGE_ENUM = 2, 3, 4
_ENUM_VALUE = 2
_SERVICE_METHOD = 2


def read_comments(image: Path) -> Mapping[str, str]:
    """Answer the comment above each message, field, enum, value, service and rpc, by full name.

    An enum's value goes by the enum's full name and its own. Raises FileNotFoundError with what to do.
    """
    if not image.exists():
        raise FileNotFoundError(f"{image} is missing: run `make protos`")
    files = FileDescriptorSet.FromString(image.read_bytes())
    return {name: comment for file in files.file for name, comment in _comments_of(file)}


def _comments_of(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    names = dict(_names_of(file))
    for location in file.source_code_info.location:
        name = names.get(tuple(location.path))
        if name is not None and location.leading_comments:
            yield name, _text(location.leading_comments)


def _text(comment: str) -> str:
    """Join the lines of each paragraph."""
    paragraphs = "\n".join(line.strip() for line in comment.strip().splitlines()).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)


def _names_of(file: FileDescriptorProto) -> Iterator[_Named]:
    for index, message in enumerate(file.message_type):
        yield from _names_in_message((_FILE_MESSAGE, index), f"{file.package}.{message.name}", message)
    for index, enum in enumerate(file.enum_type):
        yield from _names_in_enum((_FILE_ENUM, index), f"{file.package}.{enum.name}", enum)
    for index, service in enumerate(file.service):
        path, name = (_FILE_SERVICE, index), f"{file.package}.{service.name}"
        yield path, name
        for position, method in enumerate(service.method):
            yield (*path, _SERVICE_METHOD, position), f"{name}.{method.name}"


def _names_in_message(path: tuple[int, ...], name: str, message: DescriptorProto) -> Iterator[_Named]:
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, _MESSAGE_FIELD, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _names_in_message((*path, _MESSAGE_NESTED, index), f"{name}.{nested.name}", nested)
    for index, enum in enumerate(message.enum_type):
        yield from _names_in_enum((*path, _MESSAGE_ENUM, index), f"{name}.{enum.name}", enum)


def _names_in_enum(path: tuple[int, ...], name: str, enum: EnumDescriptorProto) -> Iterator[_Named]:
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, _ENUM_VALUE, index), f"{name}.{value.name}"
