"""RocketMQ: its jars by Maven, its processes by Java."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from engines import debian
from engines.engine import EngineMissingError
from engines.rocketmq.configuration import Ports, broker_name, write_broker, write_name_server, write_proxy
from engines.rocketmq.server import Part, RocketMqServer
from mesh.loopback import LOOPBACK

_POM = Path(__file__).with_name("pom.xml")
_JARS = Path("var/engines/rocketmq-jars")
_FETCH_SECONDS_MAX = 900
_VISIBILITY_SECONDS_MIN = 10


class RocketMq:
    """A cluster of one name server, one proxy, and brokers that are masters without replicas.

    `jars` is where the jars are kept, some 100 MB. Tests may ask for a shorter `visibility_seconds_min` than
    RocketMQ's own of ten seconds, and for several `masters`, each of some 500 MB.
    """

    name = "rocketmq"

    def __init__(
        self, jars: Path = _JARS, visibility_seconds_min: int = _VISIBILITY_SECONDS_MIN, masters: int = 1
    ) -> None:
        self._jars = jars.absolute()
        self._masters = masters
        self._visibility_seconds_min = visibility_seconds_min

    def fetch(self) -> None:
        """Have Maven copy the jars, where that was not done; install it and Java where they are missing."""
        debian.install("default-jre-headless", lambda: debian.program("java"))
        if self._is_fetched():
            return
        debian.install("maven", lambda: debian.program("mvn"))
        _copy_jars(self._jars)
        self._fetched_mark.touch()

    async def start(self, home: Path) -> RocketMqServer:
        """Start all of them, with all they keep in `home`. A second start has the ports of the first."""
        java = debian.program("java")
        if java is None or not self._is_fetched():
            raise EngineMissingError("Java or RocketMQ's jars are not on this machine: fetch them first")
        home, ports, parts = await asyncio.to_thread(self._prepare, home)
        return await RocketMqServer.start(java, self._jars, home, ports, parts)

    @property
    def _fetched_mark(self) -> Path:
        return self._jars / ".complete"

    def _is_fetched(self) -> bool:
        """Whether Maven was done with the jars of this pom."""
        return self._fetched_mark.exists() and self._fetched_mark.stat().st_mtime >= _POM.stat().st_mtime

    def _prepare(self, home: Path) -> tuple[Path, Ports, tuple[Part, ...]]:
        home.mkdir(parents=True, exist_ok=True)
        home = home.absolute()
        ports = Ports.of(home, self._masters)
        return home, ports, self._parts(home, ports)

    def _parts(self, home: Path, ports: Ports) -> tuple[Part, ...]:
        name_server = f"{LOOPBACK}:{ports.name_server}"
        proxy = write_proxy(home, ports, self._visibility_seconds_min)
        brokers = (
            Part(broker_name(index), "broker.BrokerStartup", 512, ("-c", str(write_broker(home, ports, index))))
            for index in range(self._masters)
        )
        return (
            Part("namesrv", "namesrv.NamesrvStartup", 128, ("-c", str(write_name_server(home, ports)))),
            *brokers,
            Part("proxy", "proxy.ProxyStartup", 256, ("-pm", "cluster", "-pc", str(proxy), "-n", name_server)),
        )


def _copy_jars(target: Path) -> None:
    command = (
        "mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies",
        "-DincludeScope=runtime", f"-DoutputDirectory={target}",
    )  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603  # a fixed program with fixed arguments
            command, capture_output=True, text=True, timeout=_FETCH_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineMissingError(f"RocketMQ: Maven took longer than {_FETCH_SECONDS_MAX} s") from None
    if done.returncode:
        reasons = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")] or [
            f"code {done.returncode}"
        ]
        raise EngineMissingError(f"RocketMQ: Maven could not copy the jars that {_POM} names: {reasons[0]}")
