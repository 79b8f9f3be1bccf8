"""Times on the wire are google.protobuf.Timestamp, inside they are integer milliseconds since 1970 UTC; 0 is unset."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

MS_MAX = 253_402_300_799_999
"""The last moment that a Timestamp may name, at the end of the year 9999. A message can hold later ones."""


def to_timestamp(at_ms: int) -> Timestamp | None:
    """Write milliseconds; None leaves the field unset."""
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000) if at_ms else None


def to_ms(timestamp: Timestamp) -> int:
    """Read milliseconds; 0 for a field that is not set."""
    return timestamp.seconds * 1000 + timestamp.nanos // 1_000_000


def by_our_clock(timestamp: Timestamp, their_now: Timestamp, our_now_ms: int) -> int:
    """Say when a moment of another process's clock is by ours, in milliseconds, where `their_now` is now by theirs.

    Clocks of machines may be far apart. How long a message is still of use is the same by each of them.
    """
    return to_ms(timestamp) - to_ms(their_now) + our_now_ms
