from __future__ import annotations

import socket

from mesh.loopback import LOOPBACK, free_port, is_free


def test_a_port_that_is_listened_on_is_not_free() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)


def test_ports_are_below_those_of_connections_and_seldom_the_same() -> None:
    ports = {free_port() for _ in range(50)}
    assert max(ports) < 32_768
    assert len(ports) > 40
