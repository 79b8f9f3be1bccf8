"""How the parts of a small RocketMQ are set up: a name server, one or more brokers and a proxy, all on loopback."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from string import ascii_lowercase

from mesh.loopback import LOOPBACK, free_port

CLUSTER = "DefaultCluster"

_DAY_SECONDS = 24 * 3600
_PORTS_FILE = "listen.json"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each part listens. A broker also takes the ports two below and one above its own."""

    name_server: int
    brokers: list[int]
    proxy: int
    proxy_remoting: int

    @classmethod
    def of(cls, home: Path, masters: int) -> Ports:
        """Read the ports of `home`, or choose free ones at its first start: its brokers stay at their addresses."""
        path = home / _PORTS_FILE
        ports = (
            cls(**json.loads(path.read_text()))
            if path.exists()
            else cls(free_port(), [], proxy=free_port(), proxy_remoting=free_port())
        )
        while len(ports.brokers) < masters:
            ports.brokers.append(free_port(beside=(-2, 1)))
        path.write_text(json.dumps(asdict(ports)))
        return ports


def write_name_server(home: Path, ports: Ports) -> Path:
    """Write the name server's configuration."""
    options = {"listenPort": ports.name_server, "bindAddress": LOOPBACK, "kvConfigPath": home / "kv.json"}
    return _write_properties(home / "namesrv.conf", options)


def broker_name(index: int) -> str:
    """Name a broker of the cluster: broker-a, broker-b and so on."""
    return f"broker-{ascii_lowercase[index]}"


def write_broker(home: Path, ports: Ports, index: int) -> Path:
    """Write the configuration of one of the brokers, each of which is a master with what it alone holds."""
    name = broker_name(index)
    store = home / name
    options: dict[str, object] = {
        "brokerClusterName": CLUSTER,
        "brokerName": name,
        "brokerId": 0,
        "brokerRole": "ASYNC_MASTER",
        "flushDiskType": "ASYNC_FLUSH",
        "namesrvAddr": f"{LOOPBACK}:{ports.name_server}",
        "brokerIP1": LOOPBACK,
        "bindAddress": LOOPBACK,
        "listenPort": ports.brokers[index],
        "haListenPort": ports.brokers[index] + 1,
        "storePathRootDir": store,
        "storePathCommitLog": store / "commitlog",
        # Small files: the defaults reserve a gigabyte and more at once.
        "mappedFileSizeCommitLog": 64 * 1024 * 1024,
        "mappedFileSizeConsumeQueue": 400_000,
        "mappedFileSizeTimerLog": 10 * 1024 * 1024,
        "maxHashSlotNum": 50_000,
        "maxIndexNum": 200_000,
        "diskMaxUsedSpaceRatio": 95,
        "autoCreateTopicEnable": "false",
        # A queue has messages with and without delay.
        "enableMixedMessageType": "true",
        # What is not acknowledged comes back within half a second of its time, not within two to five.
        "popConsumerKVServiceInit": "true",
        "popConsumerKVServiceEnable": "true",
        # What comes back goes before what is new.
        "popFromRetryProbability": 100,
        "timerMaxDelaySec": 7 * _DAY_SECONDS,
    }
    return _write_properties(home / f"{name}.conf", options)


def write_proxy(home: Path, ports: Ports, visibility_seconds_min: int) -> Path:
    """Write the proxy's configuration."""
    path = home / "rmq-proxy.json"
    options = {
        "rocketMQClusterName": CLUSTER,
        "namesrvAddr": f"{LOOPBACK}:{ports.name_server}",
        "grpcServerPort": ports.proxy,
        "remotingListenPort": ports.proxy_remoting,
        "maxDelayTimeMills": 7 * _DAY_SECONDS * 1000,
        # Consumers ask for what is there, without waiting for more.
        "grpcClientConsumerMinLongPollingTimeoutMillis": 0,
        "minInvisibleTimeMillsForRecv": visibility_seconds_min * 1000,
        # Messages go round a broker that failed or was slow a moment ago, while there are others.
        "sendLatencyEnable": True,
        "startDetectorEnable": True,
        # What it saw while a broker was away is believed for that long, by default for 20 s.
        "topicRouteServiceCacheRefreshSeconds": 5,
        "topicConfigCacheRefreshSeconds": 5,
        "subscriptionGroupConfigCacheRefreshSeconds": 5,
    }
    path.write_text(json.dumps(options, indent=2))
    return path


def _write_properties(path: Path, options: dict[str, object]) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in options.items()))
    return path
