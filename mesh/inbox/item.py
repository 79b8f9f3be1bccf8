"""One item of an inbox, and how it is written."""

from __future__ import annotations

import secrets
import struct
import time
from dataclasses import dataclass, replace

_HEADER = struct.Struct(">BIQ8s")
_VERSION = 1


@dataclass(frozen=True, slots=True)
class InboxItem:
    """What was pushed. `attempt` is 1 the first time and grows with each failed handling.

    `item_id` keeps apart items that are otherwise the same: a provider may well send one thing twice.
    """

    body: bytes
    attempt: int
    received_at_ms: int
    item_id: bytes

    @classmethod
    def new(cls, body: bytes) -> InboxItem:
        return cls(body, 1, time.time_ns() // 1_000_000, secrets.token_bytes(8))

    def again(self) -> InboxItem:
        """Make the item of the next attempt."""
        return replace(self, attempt=self.attempt + 1)

    @property
    def age_seconds(self) -> float:
        return max(0.0, time.time() - self.received_at_ms / 1000)

    def encode(self) -> bytes:
        return _HEADER.pack(_VERSION, self.attempt, self.received_at_ms, self.item_id) + self.body

    @classmethod
    def decode(cls, encoded: bytes) -> InboxItem:
        version, attempt, received_at_ms, item_id = _HEADER.unpack_from(encoded)
        if version != _VERSION:
            raise ValueError(f"inbox item has version {version}, this program knows {_VERSION}")
        return cls(encoded[_HEADER.size :], attempt, received_at_ms, item_id)
