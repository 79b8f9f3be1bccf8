"""A RocketMQ that runs: a name server, brokers and a proxy, each of which may be made to crash on its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc

from engines.process import Program, ServerProcess
from engines.rocketmq.configuration import CLUSTER, Ports, broker_name
from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq import remoting
from mesh.bus.rocketmq.brokers import Brokers
from mesh.bus.rocketmq.names import TopicNames
from mesh.loopback import LOOPBACK

_LOGBACK = Path(__file__).with_name("logback.xml")
_READY_SECONDS_MAX = 90.0
_PROBE_SECONDS_MAX = 1.0
_GET_BROKER_CLUSTER_INFO = 106

_ACCESS = (
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.nio", "jdk.internal.ref")),
)
"""What RocketMQ reaches for inside Java, which modern Java refuses unless told."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the processes: its name, class, most heap, and arguments."""

    name: str
    main: str
    heap_mebibytes: int
    arguments: tuple[str, ...]


class RocketMqServer:
    """What `RocketMq.start` started."""

    def __init__(self, java: Path, jars: Path, home: Path, ports: Ports, parts: Sequence[Part]) -> None:
        self._java = java
        self._jars = jars
        self._home = home
        self._ports = ports
        self._parts = {part.name: part for part in parts}
        self._running: dict[str, ServerProcess] = {}

    @classmethod
    async def start(cls, java: Path, jars: Path, home: Path, ports: Ports, parts: Sequence[Part]) -> RocketMqServer:
        """Start the parts one after the other, each when the one before it answers."""
        server = cls(java, jars, home, ports, parts)
        try:
            for part in parts:
                await server._start(part.name)
        except BaseException:
            await server.kill()
            raise
        return server

    @property
    def url(self) -> str:
        """As BRANDMESH_BUS_URL takes it."""
        return f"rocketmq://{LOOPBACK}:{self._ports.proxy}?namesrv={LOOPBACK}:{self._ports.name_server}"

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of its parts."""
        return tuple(process.pid for process in self._running.values())

    async def stop(self) -> None:
        """End the proxy, then the brokers at once, which take their time, then the name server."""
        name_server, proxy = (self._running.pop(name, None) for name in ("namesrv", "proxy"))
        brokers = [self._running.popitem()[1] for _ in tuple(self._running)]
        if proxy is not None:
            await proxy.stop()
        await asyncio.gather(*(broker.stop() for broker in brokers))
        if name_server is not None:
            await name_server.stop()

    async def kill(self) -> None:
        """End all of it as a crash would."""
        while self._running:
            _, process = self._running.popitem()
            await process.kill()

    async def kill_broker(self, index: int = 0) -> None:
        """End one of the brokers as a crash would."""
        await self._running.pop(broker_name(index)).kill()

    async def restart_broker(self, index: int = 0) -> None:
        """Start a killed broker on what it had, and wait until it answers. Raises ServerFailedError."""
        await self._start(broker_name(index))

    def freeze_broker(self, index: int = 0) -> None:
        """Let one of the brokers hang, as on a disk that does not answer."""
        os.kill(self._running[broker_name(index)].pid, signal.SIGSTOP)

    def thaw_broker(self, index: int = 0) -> None:
        """Let a frozen broker go on."""
        os.kill(self._running[broker_name(index)].pid, signal.SIGCONT)

    async def kill_proxy(self) -> None:
        """End the proxy as a crash would."""
        await self._running.pop("proxy").kill()

    async def restart_proxy(self) -> None:
        """Start the killed proxy, and wait until it answers. Raises ServerFailedError."""
        await self._start("proxy")

    async def _start(self, name: str) -> None:
        checks = {"namesrv": self._name_server_answers, "proxy": self._proxy_answers}
        program = Program(
            arguments=self._command(self._parts[name]),
            log_path=self._home / f"{name}.log",
            directory=self._home,
            environment={"ROCKETMQ_HOME": str(self._home)},
        )
        self._running[name] = await ServerProcess.start(
            program, checks.get(name, partial(self._broker_answers, name)), _READY_SECONDS_MAX
        )

    def _command(self, part: Part) -> tuple[str, ...]:
        return (
            str(self._java),
            *_ACCESS,
            f"-Xmx{part.heap_mebibytes}m",
            f"-XX:MaxDirectMemorySize={part.heap_mebibytes}m",
            "-XX:+UseSerialGC",
            f"-Duser.home={self._home}",
            # A part that is killed leaves its libraries and keys there.
            f"-Djava.io.tmpdir={self._home}",
            f"-Drmq.logback.configurationFile={_LOGBACK}",
            "-cp",
            f"{self._jars}/*",
            f"org.apache.rocketmq.{part.main}",
            *part.arguments,
        )

    async def _name_server_answers(self) -> bool:
        return await _answers(lambda: remoting.request(self._name_server, _GET_BROKER_CLUSTER_INFO, {}))

    async def _broker_answers(self, name: str) -> bool:
        """Whether the name server knows a broker, and that answers: after a crash it knows one that is gone."""

        async def ask() -> None:
            masters = await Brokers((self._name_server,), CLUSTER, TopicNames("")).masters()
            if name not in masters:
                raise BusUnavailableError(f"RocketMQ: the name server does not know {name} yet")
            await remoting.request(masters[name], _GET_BROKER_CLUSTER_INFO, {})

        return await _answers(ask)

    async def _proxy_answers(self) -> bool:
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{self._ports.proxy}") as channel:
            try:
                async with asyncio.timeout(_PROBE_SECONDS_MAX):
                    await channel.channel_ready()
            except TimeoutError:
                return False
        return True

    @property
    def _name_server(self) -> str:
        return f"{LOOPBACK}:{self._ports.name_server}"


async def _answers(ask: Callable[[], Awaitable[object]]) -> bool:
    try:
        await ask()
    except BusUnavailableError:
        return False
    return True
