"""A RocketMQ that runs: a name server, a broker and a proxy, each of which may be made to crash on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from engines.process import Program, ServerProcess
from engines.rocketmq.configuration import CLUSTER, Ports
from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq import remoting
from mesh.bus.rocketmq.brokers import Brokers
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
                await server.start_part(part.name)
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
        """End the proxy, then the broker, which takes its time, then the name server."""
        while self._running:
            _, process = self._running.popitem()
            await process.stop()

    async def kill(self) -> None:
        """End all of it as a crash would."""
        while self._running:
            _, process = self._running.popitem()
            await process.kill()

    async def kill_part(self, name: str) -> None:
        """End `namesrv`, `broker` or `proxy` as a crash would."""
        await self._running.pop(name).kill()

    async def start_part(self, name: str) -> None:
        """Start a part, and wait until it answers. Raises ServerFailedError."""
        checks = {"namesrv": self._name_server_answers, "broker": self._broker_answers, "proxy": self._proxy_answers}
        program = Program(
            arguments=self._command(self._parts[name]),
            log_path=self._home / f"{name}.log",
            directory=self._home,
            environment={"ROCKETMQ_HOME": str(self._home)},
        )
        self._running[name] = await ServerProcess.start(program, checks[name], _READY_SECONDS_MAX)

    def _command(self, part: Part) -> tuple[str, ...]:
        return (
            str(self._java),
            *_ACCESS,
            f"-Xmx{part.heap_mebibytes}m",
            f"-XX:MaxDirectMemorySize={part.heap_mebibytes}m",
            "-XX:+UseSerialGC",
            f"-Duser.home={self._home}",
            f"-Drmq.logback.configurationFile={_LOGBACK}",
            "-cp",
            f"{self._jars}/*",
            f"org.apache.rocketmq.{part.main}",
            *part.arguments,
        )

    async def _name_server_answers(self) -> bool:
        return await _answers(lambda: remoting.request(self._name_server, _GET_BROKER_CLUSTER_INFO, {}))

    async def _broker_answers(self) -> bool:
        """Whether the name server knows a broker, and that answers: after a crash it knows one that is gone."""

        async def ask() -> None:
            masters = await Brokers((self._name_server,), CLUSTER, "").masters()
            for address in masters.values():
                await remoting.request(address, _GET_BROKER_CLUSTER_INFO, {})

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
