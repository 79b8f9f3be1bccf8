"""Ports of loopback for servers that we start: chosen here, bound by a child a moment later."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack, suppress

LOOPBACK = "127.0.0.1"

_TRIES_MAX = 200
# Below the range from which systems take ports for connections: one of those would be taken again before it is bound.
_FIRST, _LAST = 10_000, 32_000
_HELD_MAX = 256

_random = secrets.SystemRandom()
_held: deque[ExitStack] = deque()
"""What lets go of the ports that were chosen, oldest first."""


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(beside: Iterable[int] = ()) -> int:
    """Choose a port that nobody else has, nor chooses while this process lives and has not chosen 256 more.

    `beside` are offsets of further ports that the server takes, such as 1 for the one above.
    The server can bind it all the same, and again after a crash, if it sets SO_REUSEADDR as servers do.
    """
    offsets = (0, *beside)
    for _ in range(_TRIES_MAX):
        port = _random.randint(_FIRST, _LAST)
        with suppress(OSError):
            _hold([port + offset for offset in offsets])
            return port
    raise OSError(f"no free port on {LOOPBACK} after {_TRIES_MAX} tries")


def _hold(ports: Iterable[int]) -> None:
    """Bind ports without listening, which keeps others from choosing them. Raises OSError where one is taken."""
    with ExitStack() as bound:
        for port in ports:
            with socket.socket() as holder:
                holder.bind((LOOPBACK, port))
                # Only now: others who choose bind without it and are refused, while the server binds with it.
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.callback(os.close, holder.detach())
        if sys.platform == "linux":  # elsewhere it would keep the server away as well
            _held.append(bound.pop_all())
    if len(_held) > _HELD_MAX:
        _held.popleft().close()


async def listens(port: int) -> bool:
    """Whether a connection to a port of loopback is taken."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
