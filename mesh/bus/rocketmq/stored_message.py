"""Messages as a broker keeps them on its disk, which is how it answers a pull."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_HEAD = struct.Struct(">iiiiiqqiq")
"""Length, magic, checksum, queue, flag, offset in the queue, offset in the log, system flag, born at."""

_MESSAGE_ID = "UNIQ_KEY"
_COMPRESSED = 0x1
_BORN_HOST_V6 = 0x10
_STORE_HOST_V6 = 0x20
_MAGIC_LONG_TOPIC = -626843477
"""Messages of the second version say the length of their topic in two bytes."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of a pull."""

    offset: int
    body: bytes
    properties: Mapping[str, str]

    @property
    def message_id(self) -> str:
        """What the publisher called it."""
        return self.properties.get(_MESSAGE_ID, "")


def read_messages(stored: bytes) -> Iterator[StoredMessage]:
    """Read messages that stand one after the other."""
    start = 0
    while start < len(stored):
        (length,) = struct.unpack_from(">i", stored, start)
        yield _read(stored[start : start + length])
        start += length


def _read(stored: bytes) -> StoredMessage:
    _, magic, _, _, _, offset, _, system_flag, _ = _HEAD.unpack_from(stored)
    position = _HEAD.size
    position += 20 if system_flag & _BORN_HOST_V6 else 8
    position += 8  # stored at
    position += 20 if system_flag & _STORE_HOST_V6 else 8
    position += 4 + 8  # times consumed, offset of the prepared transaction
    (body_length,) = struct.unpack_from(">i", stored, position)
    position += 4
    body = stored[position : position + body_length]
    position += body_length
    topic_format = ">h" if magic == _MAGIC_LONG_TOPIC else ">b"
    (topic_length,) = struct.unpack_from(topic_format, stored, position)
    position += struct.calcsize(topic_format) + topic_length
    (properties_length,) = struct.unpack_from(">h", stored, position)
    position += 2
    written = stored[position : position + properties_length].decode()
    pairs = (pair.partition("\x01") for pair in written.split("\x02") if pair)
    return StoredMessage(
        offset=offset,
        body=zlib.decompress(body) if system_flag & _COMPRESSED else body,
        properties={name: value for name, _, value in pairs},
    )
