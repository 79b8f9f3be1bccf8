"""Jasmin with prepaid billing: its three daemons as its manual has them, RabbitMQ and Redis, before an SMPP SMSC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from bench.peers import rabbitmq
from bench.peers.gateway import SETTLED, Gateway, Peer
from bench.peers.jasmin_install import AMQP_SPEC, install, program
from bench.peers.jcli import carry_out
from bench.peers.receipts import Receipts, listening
from bench.peers.servers import running, running_smsc
from engines.engine import EngineMissingError
from engines.process import Program
from engines.redis import Redis
from mesh.loopback import LOOPBACK, free_port, listens

_WORD = "bench"
"""Every name and password that is ours to choose: the servers are on loopback, for as long as they are measured."""
_SENDER = "10690"
_CREDIT = 10_000_000
_RECEIPT_OF_THE_PHONE = "2"
_DELIVERED = "DELIVRD"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each part listens."""

    http: int
    jcli: int
    smpp: int
    router: int
    clients: int
    smpp_control: int


def peer() -> Peer:
    """Answer Jasmin; its HTTP API takes one phone a request."""
    return Peer("jasmin", SETTLED, recipients_max=1, fetch=_fetch, run=_run)


def path(phones: Sequence[str], text: str, callback: str) -> str:
    """Render a call of its send, which takes one phone."""
    (phone,) = phones
    message = {"username": _WORD, "password": _WORD, "from": _SENDER, "to": phone, "content": text}
    receipt = {"dlr": "yes", "dlr-level": _RECEIPT_OF_THE_PHONE, "dlr-method": "GET", "dlr-url": f"{callback}/{phone}"}
    return f"/send?{urlencode(message | receipt)}"


def phone_of(target: bytes) -> str | None:
    """Read a call back, /{phone}?message_status=...; None where the message was not delivered."""
    address = urlsplit(target.decode())
    is_delivered = parse_qs(address.query).get("message_status") == [_DELIVERED]
    return address.path.strip("/") if is_delivered else None


def settings(ports: Ports, amqp_port: int, redis_port: int) -> str:
    """Render the settings of all daemons: addresses and levels of logging; the rest is as it comes."""
    sections = {
        "http-api": {"port": ports.http},
        "jcli": {"port": ports.jcli, "authentication": False},
        "router": {"port": ports.router},
        "client-management": {"port": ports.clients},
        "smpp-server": {"port": ports.smpp},
        "smpp-server-pb": {"port": ports.smpp_control},
        "smpp-server-pb-client": {"port": ports.smpp_control},
        "amqp-broker": {"port": amqp_port},
        "redis-client": {"port": redis_port},
        **{name: {} for name in ("service-smppclient", "sm-listener", "dlr", "dlr-thrower")},
    }
    common = {"bind": LOOPBACK, "host": LOOPBACK, "log_level": "ERROR"}
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in (common | own).items())
        for name, own in sections.items()
    )


@asynccontextmanager
async def _run(directory: Path, home: Path) -> AsyncIterator[Gateway]:
    """Run everything that it needs, then its daemons, and tell it of a user, the SMSC, and a route that costs."""
    if not (directory / AMQP_SPEC).exists():
        raise EngineMissingError("Jasmin is not on this machine: fetch it first")
    receipts = Receipts(phone_of)
    async with AsyncExitStack() as stack:
        callback_port = await stack.enter_async_context(listening(receipts))
        smsc_port = await stack.enter_async_context(running_smsc(home))
        broker = await stack.enter_async_context(rabbitmq.running_rabbitmq(home / "rabbitmq"))
        redis = await Redis().start(home / "redis")
        stack.push_async_callback(redis.stop)
        ports = Ports(*(free_port() for _ in range(6)))
        text = settings(ports, broker.port, urlsplit(redis.url).port or 0)
        await asyncio.to_thread(_prepare, home, text)
        pids = [await stack.enter_async_context(_daemon("jasmind", directory, home, ports.http))]
        pids += [await stack.enter_async_context(_daemon(name, directory, home)) for name in ("dlrlookupd", "dlrd")]
        await carry_out(ports.jcli, _commands(smsc_port))
        send = partial(path, callback=f"http://{LOOPBACK}:{callback_port}")
        yield Gateway(ports.http, send, receipts, (*pids, *broker.pids, *redis.pids))


def _commands(smsc_port: int) -> list[list[str]]:
    """What its manual's getting started types, with credit, a price, and no throttle (it sends 1 SMS/s otherwise)."""
    group = ["group -a", f"gid {_WORD}"]
    names = [f"uid {_WORD}", f"gid {_WORD}", f"username {_WORD}", f"password {_WORD}"]
    user = ["user -a", *names, f"mt_messaging_cred quota balance {_CREDIT}"]
    address = [f"host {LOOPBACK}", f"port {smsc_port}", f"username {_WORD}", f"password {_WORD}"]
    connector = ["smppccm -a", f"cid {_WORD}", *address, "submit_throughput 0"]
    route = ["mtrouter -a", "type DefaultRoute", f"connector smppc({_WORD})", "rate 1.0"]
    return [group, user, connector, [f"smppccm -1 {_WORD}"], route]


@asynccontextmanager
async def _daemon(name: str, directory: Path, home: Path, port: int | None = None) -> AsyncIterator[int]:
    """Run one of its programs; answer its process. Those that take no connections are there once they run."""

    async def answers() -> bool:
        return port is None or await listens(port)

    environment = {
        "CONFIG_PATH": str(home),
        "LOG_PATH": str(home),
        "STORE_PATH": str(home / "store"),
        "RESOURCE_PATH": str(directory),
    }
    arguments = (str(program(directory, "python")), str(program(directory, f"{name}.py")), "-c", str(_settings(home)))
    async with running(Program(arguments, home / f"{name}.out", environment=environment), answers) as process:
        yield process.pid


def _prepare(home: Path, text: str) -> None:
    (home / "store").mkdir()
    _settings(home).write_text(text)


def _settings(home: Path) -> Path:
    return home / "jasmin.cfg"


def _fetch(directory: Path) -> None:
    """Install Debian's packages, then Jasmin. Raises EngineMissingError."""
    rabbitmq.fetch()
    Redis().fetch()
    install(directory)
