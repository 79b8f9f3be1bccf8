"""What RocketMQ may answer instead of what was asked for."""

from __future__ import annotations

from mesh.bus.port import BusUnavailableError


class TopicMissingError(BusUnavailableError):
    """The topic does not exist, or not yet as far as this proxy knows."""


class HandleExpiredError(Exception):
    """The receipt handle is no longer good: its message is, or will be, delivered again."""
