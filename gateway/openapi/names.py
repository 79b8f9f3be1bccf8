"""Names in the document, where those of all contracts meet.

What several contracts call alike is led by its service's noun where it does not hold it already: CreateOrder of
OrderService stays createOrder, that of SmsPackageService is smsPackageCreateOrder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor, MethodDescriptor

from gateway.transcoding.routes import RouteTable


class Names:
    """Says what everything of some contracts is called."""

    def __init__(self, table: RouteTable) -> None:
        methods = [route.method for route in table.routes]
        files = {method.containing_service.file.name: method.containing_service.file for method in methods}
        self._operations = Counter(method.name for method in methods)
        self._types = Counter(name for file in files.values() for name in _types_of(file))

    def operation_id(self, method: MethodDescriptor) -> str:
        """Name an operation."""
        name = _led(method.name, method.containing_service.file) if self._operations[method.name] > 1 else method.name
        return name[0].lower() + name[1:]

    def schema(self, kind: Descriptor | EnumDescriptor) -> str:
        """Name a message or an enum."""
        return _led(kind.name, kind.file) if self._types[kind.name] > 1 else str(kind.name)


def _types_of(file: FileDescriptor) -> Iterator[str]:
    yield from file.message_types_by_name
    yield from file.enum_types_by_name


def _led(name: str, file: FileDescriptor) -> str:
    noun = next(iter(file.services_by_name)).removesuffix("Service")
    return name if noun in name else noun + name
