"""Where a bus on RocketMQ is, and what is ours there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

DEFAULT_CLUSTER = "DefaultCluster"
DEFAULT_NAME = "brandmesh"
DEFAULT_DELAY_HOURS = 24
"""What a proxy takes as it comes."""

_PARAMETERS = ("namesrv", "cluster", "name", "delay_hours_max")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment on one cluster.

    `proxy` and `name_servers` are addresses (host:port). `name` begins the names of all our topics and consumer
    groups. `delay_seconds_max` is what proxies and brokers take (their `maxDelayTimeMills` and `timerMaxDelaySec`);
    longer delays are made of several.
    """

    proxy: str
    name_servers: tuple[str, ...]
    cluster: str = DEFAULT_CLUSTER
    name: str = DEFAULT_NAME
    delay_seconds_max: float = DEFAULT_DELAY_HOURS * 3600.0

    @classmethod
    def from_url(cls, url: str) -> Deployment:
        """Read `rocketmq://PROXY:8081?namesrv=HOST:9876,HOST:9876&cluster=...&name=...&delay_hours_max=...`.

        All but the proxy and one name server may be left out. Raises ValueError.
        """
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(given.keys() - set(_PARAMETERS))
        if unknown or not parts.netloc or parts.path.strip("/"):
            known = ", ".join(_PARAMETERS)
            raise ValueError(f"BRANDMESH_BUS_URL: {url!r} is not rocketmq://HOST:PORT?... with {known}")
        return cls(
            parts.netloc,
            _name_servers(given),
            cluster=given.get("cluster", DEFAULT_CLUSTER),
            name=given.get("name", DEFAULT_NAME),
            delay_seconds_max=_hours(given.get("delay_hours_max", str(DEFAULT_DELAY_HOURS))) * 3600,
        )


def _name_servers(given: Mapping[str, str]) -> tuple[str, ...]:
    addresses = tuple(address.strip() for address in given.get("namesrv", "").split(",") if address.strip())
    if not addresses or not all(address.rpartition(":")[2].isdecimal() for address in addresses):
        raise ValueError("BRANDMESH_BUS_URL: namesrv must name the name servers of RocketMQ: HOST:PORT,HOST:PORT")
    return addresses


def _hours(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError(f"BRANDMESH_BUS_URL: delay_hours_max is {text!r}, must be a whole number above 0")
    return int(text)
