"""Ports of loopback for servers that we start: chosen here, bound by a child a moment later."""

from __future__ import annotations

import asyncio
import secrets
import socket

LOOPBACK = "127.0.0.1"

_TRIES_MAX = 200
# Below the range from which systems take ports for connections: one of those would be taken again before it is bound.
_FIRST, _LAST = 10_000, 32_000

_random = secrets.SystemRandom()


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Choose a port that nobody listens on, at random, so that others who choose now choose another."""
    for _ in range(_TRIES_MAX):
        port = _random.randint(_FIRST, _LAST)
        if is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} after {_TRIES_MAX} tries")


async def listens(port: int) -> bool:
    """Whether a connection to a port of loopback is taken."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
