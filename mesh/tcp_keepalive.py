"""Noticing that the other end of a connection is gone without a word: its host lost power, or its address moved."""

from __future__ import annotations

import socket

IDLE_SECONDS = 10
INTERVAL_SECONDS = 5
PROBES_MAX = 3
UNACKNOWLEDGED_MS_MAX = 30_000

_OPTIONS = (
    ("TCP_KEEPIDLE", IDLE_SECONDS),
    ("TCP_KEEPINTVL", INTERVAL_SECONDS),
    ("TCP_KEEPCNT", PROBES_MAX),
    # Probes begin only where nothing is on its way; this bounds what is sent and never acknowledged.
    ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS_MAX),
)


def keep_alive(connection: socket.socket) -> None:
    """Have a connection break some 30 s after its other end is gone, whoever waits on it, however long an answer takes.

    The system at the other end answers, so one that works long on an answer is not taken for gone.
    """
    if connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        # Systems other than Linux lack some of them, and keep their own times.
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
