"""Where a gateway calls back with its receipts: the user's side, which counts phones that have their message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httptools

from mesh.loopback import LOOPBACK

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nACK/Jasmin"
"""Jasmin calls again unless it reads these words; Kannel reads the status alone."""


class Receipts:
    """Phones whose delivered receipt came. A second receipt of the same phone changes nothing."""

    def __init__(self, phone_of: Callable[[bytes], str | None]) -> None:
        """Take what finds the phone in the path and query of a call, and None where it was not delivered."""
        self._phone_of = phone_of
        self._phones: set[str] = set()
        self._awaited = 0
        self._is_complete = asyncio.Event()
        self._undelivered: list[bytes] = []
        self.last_at = 0.0
        """Unix seconds when the last phone was counted."""

    async def expect(self, count: int) -> None:
        """Forget what came before, and wait for this many phones."""
        self._phones.clear()
        self._undelivered.clear()
        self._awaited = count
        self._is_complete.clear()

    def note(self, target: bytes) -> None:
        """Count a call."""
        phone = self._phone_of(target)
        if phone is None:
            self._undelivered.append(target)
            return
        self._phones.add(phone)
        self.last_at = time.time()
        if len(self._phones) >= self._awaited:
            self._is_complete.set()

    async def complete(self, seconds_max: float) -> float:
        """Wait for the phones that are expected; answer when the last came. Raises TimeoutError, with the count."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._is_complete.wait()
        except TimeoutError:
            seen = f"{len(self._phones)} of {self._awaited} receipts"
            failed = f", {len(self._undelivered)} say otherwise: {self._undelivered[0]!r}" if self._undelivered else ""
            raise TimeoutError(f"{seen} came within {seconds_max:g} s{failed}") from None
        return self.last_at


class _Callback(asyncio.Protocol):
    """One connection of a gateway that calls back."""

    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts
        self._target = b""
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what TCP servers make
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_message_complete(self) -> None:
        assert self._transport is not None  # noqa: S101  # data comes after the connection
        self._receipts.note(self._target)
        self._transport.write(_ANSWER)
        if not self._parser.should_keep_alive():
            self._transport.close()


@asynccontextmanager
async def listening(receipts: Receipts) -> AsyncIterator[int]:
    """Take calls on a free port of loopback; answer the port."""
    server = await asyncio.get_running_loop().create_server(lambda: _Callback(receipts), LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
