"""How the buses write a message: what stays the same over all its deliveries, in one piece."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

_ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message id of 32 characters, headers, and the body.

    Written one after the other, the headers as one line of JSON.
    """

    message_id: str
    headers: Mapping[str, str]
    body: bytes

    def encode(self) -> bytes:
        headers = orjson.dumps(dict(self.headers)) if self.headers else b""
        return b"%b%b\n%b" % (self.message_id.encode(), headers, self.body)

    @classmethod
    def decode(cls, encoded: bytes) -> Envelope:
        end = encoded.index(b"\n", _ID_BYTES)
        headers = orjson.loads(encoded[_ID_BYTES:end]) if end > _ID_BYTES else {}
        return cls(encoded[:_ID_BYTES].decode(), headers, encoded[end + 1 :])


def new_message_id() -> str:
    """Make an id that no other message has, and that sorts by the time it was made."""
    return f"{time.time_ns():016x}{secrets.randbits(64):016x}"
