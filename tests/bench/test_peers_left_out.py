from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.http_load import LoadError
from bench.peers import __main__ as command
from bench.peers import kannel, measure
from bench.peers.gateway import Gateway, Peer
from bench.peers.receipts import Receipts, listening
from bench.peers.result import Work
from engines.engine import EngineMissingError
from engines.process import ServerFailedError
from mesh.loopback import free_port


def not_to_be_had(_: Path) -> None:
    raise EngineMissingError("kannel is not on this machine: install Debian's package kannel")


def there(_: Path) -> None:
    """Nothing to install."""


@asynccontextmanager
async def does_not_start(_: Path, __: Path) -> AsyncIterator[Gateway]:
    raise ServerFailedError("bearerbox ended with code 1")
    yield  # a generator needs one


@asynccontextmanager
async def refuses(_: Path, __: Path) -> AsyncIterator[Gateway]:
    """A gateway at whose port nobody listens."""
    receipts = Receipts(kannel.phone_of)
    async with listening(receipts):
        yield Gateway(free_port(), kannel.path, receipts, pids=())


def test_a_peer_that_cannot_be_had_is_named_with_its_reason_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    peer = Peer("kannel-smpp", "settled", 100, not_to_be_had, does_not_start)
    assert not command._is_here(peer)
    expected = "kannel-smpp: left out: kannel is not on this machine: install Debian's package kannel\n"
    assert capsys.readouterr().err == expected


async def test_a_peer_that_fails_is_left_out_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    peer = Peer("kannel-smpp", "settled", 100, there, does_not_start)
    assert command._is_here(peer)
    assert await command._unless_it_fails(peer, [Work(10, 1)]) is None
    assert capsys.readouterr().err == "kannel-smpp: left out: bearerbox ended with code 1\n"


async def test_a_load_that_cannot_connect_is_a_failure_of_its_peer() -> None:
    async with refuses(Path(), Path()) as gateway:
        with pytest.raises(LoadError, match="the load ended with code 1"):
            await measure.run(gateway, Work(1, 1), "settled")
