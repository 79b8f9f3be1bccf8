"""RocketMQ's own protocol, for the few administrative requests that its gRPC proxy does not take.

A frame is its length, the length of its header, the header as JSON and a body. Each request has a connection of its
own: they are rare, and none is left behind.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import orjson

from mesh.bus.port import BusUnavailableError

REQUEST_SECONDS_MAX = 5.0
FRAME_BYTES_MAX = 32 * 1024 * 1024

SUCCESS = 0

_PROTOCOL_VERSION = 414
"""The number of RocketMQ 5.0.0 in its own list of versions, from which on all that is asked here is known."""

_HEADER_LENGTH_MASK = 0xFFFFFF
"""The upper byte of the header's length says how it is written; 0 is JSON."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. `code` is 0 for success; `remark` says why not."""

    code: int
    remark: str
    fields: Mapping[str, str]
    body: bytes


async def request(address: str, code: int, fields: Mapping[str, str], body: bytes = b"") -> Answer:
    """Ask the server at `address` (host:port) once. Raises BusUnavailableError where it does not answer."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(REQUEST_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(_frame(code, fields, body))
                await writer.drain()
                return await _read(reader)
            finally:
                writer.close()
    except (OSError, EOFError) as error:  # a TimeoutError is an OSError
        raise BusUnavailableError(f"RocketMQ at {address}: {error or type(error).__name__}") from error


def _frame(code: int, fields: Mapping[str, str], body: bytes) -> bytes:
    header = orjson.dumps(
        {
            "code": code,
            "language": "PYTHON",
            "version": _PROTOCOL_VERSION,
            "opaque": 1,
            "flag": 0,
            "extFields": dict(fields),
            "serializeTypeCurrentRPC": "JSON",
        }
    )
    return struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body


async def _read(reader: asyncio.StreamReader) -> Answer:
    length, header_length = struct.unpack(">ii", await reader.readexactly(8))
    rest = length - struct.calcsize(">i")
    if not 0 <= rest <= FRAME_BYTES_MAX:
        raise EOFError(f"a frame of {length} bytes")
    frame = await reader.readexactly(rest)
    header_end = header_length & _HEADER_LENGTH_MASK
    header = cast("dict[str, object]", orjson.loads(frame[:header_end]))
    return Answer(
        code=cast("int", header["code"]),
        remark=str(header.get("remark") or ""),
        fields=cast("dict[str, str]", header.get("extFields") or {}),
        body=frame[header_end:],
    )
