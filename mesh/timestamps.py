"""Times on the wire are google.protobuf.Timestamp, inside they are integer milliseconds since 1970 UTC; 0 is unset."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp


def to_timestamp(at_ms: int) -> Timestamp | None:
    """Write milliseconds; None leaves the field unset."""
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000) if at_ms else None


def to_ms(timestamp: Timestamp) -> int:
    """Read milliseconds; 0 for a field that is not set."""
    return timestamp.seconds * 1000 + timestamp.nanos // 1_000_000
