from __future__ import annotations

import socket
from collections import deque
from contextlib import ExitStack

import pytest

from mesh import loopback
from mesh.loopback import LOOPBACK, free_port, is_free


def test_a_port_that_is_listened_on_is_not_free() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)


def test_ports_are_below_those_of_connections_and_never_the_same() -> None:
    ports = [free_port() for _ in range(200)]
    assert max(ports) < 32_768
    assert len(set(ports)) == len(ports)


def test_a_port_that_was_chosen_is_refused_to_all_who_choose_but_not_to_its_server() -> None:
    port = free_port(beside=(1,))
    for chosen in (port, port + 1):
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind((LOOPBACK, chosen))
        for _ in range(2):  # a server that crashed starts again
            socket.create_server((LOOPBACK, chosen)).close()


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of its own: what is held for servers of other tests stays held.
    held: deque[ExitStack] = deque()
    monkeypatch.setattr(loopback, "_held", held)
    monkeypatch.setattr(loopback, "_HELD_MAX", 1)
    first, second = free_port(), free_port()
    with socket.socket() as another:
        another.bind((LOOPBACK, first))
    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind((LOOPBACK, second))
    held.pop().close()
