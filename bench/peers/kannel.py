"""Kannel from Debian's packages: bearerbox and smsbox, before its own fakesmsc or before an SMPP SMSC."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from bench.peers.gateway import SETTLED, SUBMITTED, Gateway, Peer
from bench.peers.receipts import Receipts, listening
from bench.peers.servers import running, running_smsc
from engines import debian
from engines.engine import EngineMissingError
from engines.process import Program
from mesh.loopback import LOOPBACK, free_port, listens

_RECIPIENTS_MAX = 100
_WORD = "bench"
"""Every name and password: the servers are on loopback, for as long as they are measured."""
_SENDER = "10690"
_FINAL_OUTCOMES = 1 | 2
"""dlr-mask: call back when a message is delivered or has failed, and at no step before."""
_DELIVERED = "1"
_ERRORS = "3"
"""Its store warns of every receipt that overtakes it."""
_FAKESMSC_DIRECTORY = "/usr/lib/kannel/test"
_SENT_TOTAL = re.compile(r"<sms>.*?<sent><total>([0-9]+)</total>", re.DOTALL)
_POLL_SECONDS = 0.05

_SMPP = """smsc = smpp
host = {loopback}
port = {smsc_port}
transceiver-mode = true
smsc-username = {word}
smsc-password = {word}
system-type = ""
max-pending-submits = 100
"""
_FAKE = """smsc = fake
port = {smsc_port}
connect-allow-ip = {loopback}
"""
"""An empty line would end the group."""
_SETTINGS = """group = core
admin-port = {admin_port}
admin-password = {word}
admin-interface = {loopback}
smsbox-port = {box_port}
smsbox-interface = {loopback}
box-allow-ip = {loopback}
store-type = file
store-location = "{home}/store"
dlr-storage = internal

group = smsc
{smsc}
group = smsbox
bearerbox-host = {loopback}
sendsms-port = {http_port}
sendsms-interface = {loopback}

group = sendsms-user
username = {word}
password = {word}
"""


@dataclass(frozen=True, slots=True)
class _Ports:
    smsc_port: int
    admin_port: int
    box_port: int
    http_port: int


def peers() -> tuple[Peer, ...]:
    """Answer Kannel as its own tools try it, and Kannel with receipts."""
    return (
        Peer("kannel-fakesmsc", SUBMITTED, _RECIPIENTS_MAX, _fetch_with_fakesmsc, _run_with_fakesmsc),
        Peer("kannel-smpp", SETTLED, _RECIPIENTS_MAX, _fetch, _run_with_smpp),
    )


@asynccontextmanager
async def _run_with_smpp(_: Path, home: Path) -> AsyncIterator[Gateway]:
    """Run it on an SMSC that sends receipts, each of which it calls back."""
    receipts = Receipts(phone_of)
    async with listening(receipts) as callback_port, running_smsc(home) as smsc_port:
        ports = _Ports(smsc_port, free_port(), free_port(), free_port())
        callback = f"http://{LOOPBACK}:{callback_port}/%d/%p"
        async with _boxes(home, _SMPP, ports) as pids:
            yield Gateway(ports.http_port, partial(path, callback=callback), receipts, pids)


@asynccontextmanager
async def _run_with_fakesmsc(_: Path, home: Path) -> AsyncIterator[Gateway]:
    """Run it on fakesmsc, which takes messages and sends no receipts."""
    fakesmsc = _program("fakesmsc", _FAKESMSC_DIRECTORY)
    ports = _Ports(free_port(), free_port(), free_port(), free_port())
    # None of its own messages (-m 0); it wants one all the same.
    arguments = (fakesmsc, "-H", LOOPBACK, "-r", str(ports.smsc_port), "-m", "0", "1 2 text none")
    status = f"http://{LOOPBACK}:{ports.admin_port}/status.xml?password={_WORD}"
    async with aiohttp.ClientSession() as session, _boxes(home, _FAKE, ports) as pids:
        sent = _Sent(session, status)
        async with running(Program(arguments, home / "fakesmsc.log"), sent.is_online):
            yield Gateway(ports.http_port, path, sent, pids)


def path(phones: Sequence[str], text: str, callback: str = "") -> str:
    """Render a call of smsbox's sendsms; without a callback no receipt is asked for."""
    message = {"username": _WORD, "password": _WORD, "from": _SENDER, "to": " ".join(phones), "text": text}
    receipt = {"dlr-mask": str(_FINAL_OUTCOMES), "dlr-url": callback} if callback else {}
    return f"/cgi-bin/sendsms?{urlencode(message | receipt)}"


def phone_of(target: bytes) -> str | None:
    """Read a call back, /{dlr-mask's bit}/{phone}; None where the message was not delivered."""
    outcome, phone = target.decode().strip("/").split("/")
    return phone if outcome == _DELIVERED else None


def sent_total(status: str) -> int:
    """Read how many SMS bearerbox has handed to its SMSC, from its status.xml."""
    found = _SENT_TOTAL.search(status)
    if found is None:
        raise ValueError(f"a status of bearerbox without a total: {status[:200]}")
    return int(found[1])


class _Sent:
    """Counts what fakesmsc has taken, as bearerbox tells it: there are no receipts."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._awaited = 0

    async def is_online(self) -> bool:
        return "<status>online" in await self._status()

    async def expect(self, count: int) -> None:
        self._awaited = sent_total(await self._status()) + count

    async def complete(self, seconds_max: float) -> float:
        deadline = time.monotonic() + seconds_max
        while (sent := sent_total(await self._status())) < self._awaited:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fakesmsc lacks {self._awaited - sent} messages after {seconds_max:g} s")
            await asyncio.sleep(_POLL_SECONDS)
        return time.time()

    async def _status(self) -> str:
        async with self._session.get(self._url) as response:
            response.raise_for_status()
            return await response.text()


@asynccontextmanager
async def _boxes(home: Path, smsc: str, ports: _Ports) -> AsyncIterator[tuple[int, ...]]:
    """Run bearerbox, then smsbox; answer their processes."""
    names = {"loopback": LOOPBACK, "word": _WORD, "smsc_port": ports.smsc_port}
    settings = home / "kannel.conf"
    text = _SETTINGS.format(
        **names,
        smsc=smsc.format(**names),
        home=home,
        admin_port=ports.admin_port,
        box_port=ports.box_port,
        http_port=ports.http_port,
    )
    await asyncio.to_thread(settings.write_text, text)
    async with (
        running(_box("bearerbox", settings), lambda: listens(ports.box_port)) as bearerbox,
        running(_box("smsbox", settings), lambda: listens(ports.http_port)) as smsbox,
    ):
        yield bearerbox.pid, smsbox.pid


def _box(name: str, settings: Path) -> Program:
    arguments = (_program(name), "--verbosity", _ERRORS, str(settings))
    return Program(arguments, settings.with_name(f"{name}.log"))


def _program(name: str, directories: str = "/usr/sbin") -> str:
    found = debian.program(name, directories)
    if found is None:
        raise EngineMissingError(f"{name} is not on this machine: fetch it first")
    return str(found)


def _fetch(_: Path) -> None:
    debian.install("kannel", lambda: debian.program("bearerbox"))


def _fetch_with_fakesmsc(directory: Path) -> None:
    _fetch(directory)
    debian.install("kannel-extras", lambda: debian.program("fakesmsc", _FAKESMSC_DIRECTORY))
