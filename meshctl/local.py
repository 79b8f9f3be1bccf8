"""The whole mesh on one machine: which processes there are, where they listen, where their state lives."""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import aiohttp
import grpc
from grpc_health.v1 import health_pb2

from mesh.embedded_valkey import EmbeddedValkey
from mesh.loopback import LOOPBACK, free_port, is_free
from meshctl.supervisor import ProcessSpec, Supervisor
from meshctl.wechat_keys import wechat_keys

_RPC_PORTS = {"costcenter": 7101, "sms": 7102, "order": 7103, "messagecenter": 7104, "txim": 7105}
_PORTS = {"valkey": 7100, **_RPC_PORTS, "gateway": 8080, "sandbox": 8090}
SERVICES_WITH_ROWS = (*_RPC_PORTS, "gateway")
"""Those that keep rows, each in a database of its own."""

_PAYMENT_SECRET = "sandbox-payment-secret"  # noqa: S105  # the sandbox's own, as published in its settings
_WECHAT_APP_ID = "wxsandbox"
_WECHAT_MERCHANT_ID = "1900000002"
_WECHAT_MERCHANT_SERIAL = "5AD0C"
_WECHAT_PLATFORM_SERIAL = "PUB_KEY_ID_SANDBOX"
_WECHAT_API_KEY = "sandbox-wechat-api-key-32-letter"
_SANDBOX_PASSWORD = "sandbox-password"  # noqa: S105  # likewise
_TXIM_SECRET_KEY = "sandbox-txim-key"  # noqa: S105  # likewise
_TXIM_SDK_APP_ID = "1400000001"


class AlreadyRunningError(Exception):
    """Another mesh runs on the same state directory."""


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How the mesh is run. `fixed_ports` takes the usual ones where they are free; otherwise any free ones."""

    state_directory: Path
    fixed_ports: bool = True
    environment: dict[str, dict[str, str]] = field(default_factory=dict)
    """Further settings by process name, for example {"sms_rmq": {"BRANDMESH_CONCURRENCY": "8"}}."""
    database_url: str = ""
    """Where services keep their rows, `{service}` standing for the name: postgresql://user@host/brandmesh_{service}.
    The databases are there already. Empty: SQLite files in the state directory."""
    redis_url: str = ""
    """A Redis that is there already, to which this mesh is alone. Empty: a Valkey of its own in the state directory."""
    bus_url: str = ""
    """Where queues live, for example rocketmq://HOST:PORT?namesrv=HOST:PORT. Empty: streams on that Redis."""


@dataclass(slots=True)
class LocalMesh:
    """A running mesh."""

    options: LocalOptions
    ports: dict[str, int]
    webhook_secret: str
    user_token_keys: str
    supervisor: Supervisor
    embedded_valkey: EmbeddedValkey | None

    @property
    def valkey(self) -> EmbeddedValkey:
        """The server of its own. Raises RuntimeError when the mesh was given another."""
        if self.embedded_valkey is None:
            raise RuntimeError(f"this mesh runs on {self.options.redis_url}, not on a Valkey of its own")
        return self.embedded_valkey

    @property
    def redis_url(self) -> str:
        """Where queues, hints and inboxes are."""
        return self.options.redis_url or self.valkey.url

    @property
    def gateway_url(self) -> str:
        """Where apps call."""
        return f"http://{LOOPBACK}:{self.ports['gateway']}"

    @property
    def sandbox_url(self) -> str:
        """Where the stand-ins for the outside world are."""
        return f"http://{LOOPBACK}:{self.ports['sandbox']}"

    @property
    def grpc_addresses(self) -> dict[str, str]:
        """Where internal services call."""
        return {name: f"{LOOPBACK}:{self.ports[name]}" for name in _RPC_PORTS}

    def database_url(self, name: str) -> str:
        """Where a service keeps its rows."""
        template = self.options.database_url or f"sqlite:///{self.options.state_directory}/{{service}}.db"
        # Not `format`: a password may hold a brace.
        return template.replace("{service}", name)

    def specs(self) -> list[ProcessSpec]:
        """Describe every process."""
        return [self.spec(name) for name in _PROCESSES]

    def spec(self, name: str, *, process_name: str = "", arguments: tuple[str, ...] = ()) -> ProcessSpec:
        """Describe one process of the mesh, or a further one of its kind under another name."""
        process = _PROCESSES[name]
        environment = {
            "BRANDMESH_REDIS_URL": self.redis_url,
            "BRANDMESH_BUS_URL": self.options.bus_url,
            **{f"BRANDMESH_PEER_{peer.upper()}": address for peer, address in self.grpc_addresses.items()},
            **process.environment(self),
            **self.options.environment.get(name, {}),
        }
        return ProcessSpec(process_name or name, process.module, environment, process.is_ready(self), arguments)

    async def restart(self, name: str) -> None:
        """Start a process again that was stopped or killed."""
        await self.supervisor.start([self.spec(name)])


@asynccontextmanager
async def run_local(options: LocalOptions) -> AsyncIterator[LocalMesh]:
    """Start everything, and stop everything at the end. Raises AlreadyRunningError, ProcessFailedError."""
    state = options.state_directory
    state.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        lock = stack.enter_context((state / "run.lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunningError(f"another mesh runs on {state}") from None
        ports = {name: port if options.fixed_ports and is_free(port) else free_port() for name, port in _PORTS.items()}
        valkey = None
        if not options.redis_url:
            valkey = await EmbeddedValkey.start(state / "valkey", ports["valkey"])
            stack.push_async_callback(valkey.stop)
        supervisor = Supervisor(state / "log")
        # Consumers finish what they hold while the services that they need are still there.
        stack.push_async_callback(supervisor.stop)
        stack.push_async_callback(supervisor.stop, ("gateway", *(name for name in _PROCESSES if name.endswith("_rmq"))))
        mesh = LocalMesh(options, ports, _kept_secret(state, "webhook-secret"), _token_keys(state), supervisor, valkey)
        await supervisor.start(mesh.specs())
        yield mesh


def _token_keys(state: Path) -> str:
    """Answer the one key of users' tokens, as settings have keys."""
    return f"local:{_kept_secret(state, 'user-token-secret', secret_bytes=32)}"


def _kept_secret(state: Path, name: str, *, secret_bytes: int = 24) -> str:
    """Keep a secret for the life of the state directory, readable by its owner alone."""
    path = state / name
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(secret_bytes))
    return path.read_text()


@dataclass(frozen=True, slots=True)
class _Process:
    """A process of the mesh: its module, its own settings, and how it shows that it is ready."""

    module: str
    environment: Callable[[LocalMesh], dict[str, str]]
    is_ready: Callable[[LocalMesh], Callable[[], Awaitable[bool]] | None]


def _rpc(name: str, module: str, further: Callable[[LocalMesh], dict[str, str]] | None = None) -> _Process:
    def environment(mesh: LocalMesh) -> dict[str, str]:
        own = {
            "BRANDMESH_LISTEN": mesh.grpc_addresses[name],
            "BRANDMESH_DATABASE_URL": mesh.database_url(name),
        }
        return {**own, **(further(mesh) if further else {})}

    return _Process(module, environment, lambda mesh: _serving(mesh.grpc_addresses[name]))


def _consumer(module: str, environment: Callable[[LocalMesh], dict[str, str]] | None = None) -> _Process:
    return _Process(module, environment or (lambda _: {}), lambda _: None)


def _order_environment(mesh: LocalMesh) -> dict[str, str]:
    keys = wechat_keys(mesh.options.state_directory)
    wechat = {
        "url": mesh.sandbox_url,
        "app_id": _WECHAT_APP_ID,
        "merchant_id": _WECHAT_MERCHANT_ID,
        "merchant_serial": _WECHAT_MERCHANT_SERIAL,
        "merchant_key": keys.merchant.private,
        "platform_serial": _WECHAT_PLATFORM_SERIAL,
        "platform_key": keys.platform.public,
        "api_key": _WECHAT_API_KEY,
        "notify_url": f"{mesh.gateway_url}/webhooks/payment/wechat",
    }
    return {
        "BRANDMESH_PAYMENT_CHANNEL_WECHAT": json.dumps(wechat),
        "BRANDMESH_PAYMENT_CHANNEL_URL": mesh.sandbox_url,
        "BRANDMESH_PAYMENT_MERCHANT_ID": "190000001",
        "BRANDMESH_PAYMENT_SECRET": _PAYMENT_SECRET,
        "BRANDMESH_PAYMENT_NOTIFY_URL": f"{mesh.gateway_url}/webhooks/payment",
        "BRANDMESH_USER_TOKEN_KEYS": mesh.user_token_keys,
    }


def _txim_environment(mesh: LocalMesh) -> dict[str, str]:
    return {
        "BRANDMESH_TXIM_URL": mesh.sandbox_url,
        "BRANDMESH_TXIM_SDK_APP_ID": _TXIM_SDK_APP_ID,
        "BRANDMESH_TXIM_SECRET_KEY": _TXIM_SECRET_KEY,
    }


def _gateway_environment(mesh: LocalMesh) -> dict[str, str]:
    return {
        "BRANDMESH_LISTEN": f"{LOOPBACK}:{mesh.ports['gateway']}",
        "BRANDMESH_DATABASE_URL": mesh.database_url("gateway"),
        "BRANDMESH_CHUANGLAN_WEBHOOK_SECRET": mesh.webhook_secret,
        "BRANDMESH_CHUANGLAN_WEBHOOK_RECEIVER": "sandbox-receiver",
        "BRANDMESH_CHUANGLAN_WEBHOOK_PASSWORD": "sandbox-pswd",
        "BRANDMESH_USER_TOKEN_KEYS": mesh.user_token_keys,
        # The load balancer that this pause is for is not there.
        "BRANDMESH_DRAIN_NOTICE_SECONDS": "0",
    }


def _sandbox_environment(mesh: LocalMesh) -> dict[str, str]:
    webhook = f"{mesh.gateway_url}/webhooks/chuanglan/{mesh.webhook_secret}"
    keys = wechat_keys(mesh.options.state_directory)
    return {
        "BRANDMESH_SANDBOX_WECHAT_MERCHANT_KEY": keys.merchant.public,
        "BRANDMESH_SANDBOX_WECHAT_PLATFORM_KEY": keys.platform.private,
        "BRANDMESH_SANDBOX_PORT": str(mesh.ports["sandbox"]),
        "BRANDMESH_SANDBOX_CHUANGLAN_RECEIPT_URL": f"{webhook}/receipt",
        "BRANDMESH_SANDBOX_CHUANGLAN_UPLINK_URL": f"{webhook}/uplink",
        "BRANDMESH_SANDBOX_CHUANGLAN_PUSH_RETRY_SECONDS": "5",
        "BRANDMESH_SANDBOX_PAYMENT_NOTIFY_URL": f"{mesh.gateway_url}/webhooks/payment",
    }


def _sms_consumer_environment(mesh: LocalMesh) -> dict[str, str]:
    accounts = [
        {"name": "codes", "account": "N1000001", "types": ["verification", "notification"]},
        {"name": "marketing", "account": "M1000001", "types": ["marketing"]},
    ]
    # The sandbox has no limit of its own; connections bound the calls all the same.
    limits = {"requests_per_second": 10_000, "connections_max": 32, "waiting_max": 10_000, "wait_seconds_max": 10}
    common = {"base_url": mesh.sandbox_url, "password": _SANDBOX_PASSWORD, **limits}
    return {
        "BRANDMESH_PROVIDER_ACCOUNTS": json.dumps([{**account, **common} for account in accounts]),
        "BRANDMESH_SWEEP_SECONDS": "1",
        "BRANDMESH_PULL_SECONDS": "10",
    }


_PROCESSES: dict[str, _Process] = {
    "costcenter": _rpc("costcenter", "costcenter_rpc"),
    "sms": _rpc("sms", "sms_rpc"),
    "order": _rpc("order", "order_rpc", _order_environment),
    "messagecenter": _rpc("messagecenter", "messagecenter_rpc"),
    "txim": _rpc("txim", "txim_rpc", _txim_environment),
    "gateway": _Process("gateway", _gateway_environment, lambda mesh: _answers(f"{mesh.gateway_url}/readyz")),
    "sandbox": _Process("sandbox", _sandbox_environment, lambda mesh: _answers(f"{mesh.sandbox_url}/healthz")),
    "sms_rmq": _consumer("sms_rmq", _sms_consumer_environment),
    "costcenter_rmq": _consumer("costcenter_rmq"),
    "order_rmq": _consumer("order_rmq"),
    "messagecenter_rmq": _consumer("messagecenter_rmq", lambda _: {"BRANDMESH_SWEEP_SECONDS": "1"}),
}


def _serving(address: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        async with grpc.aio.insecure_channel(address) as channel:
            check_health = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                answer = await check_health(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return check


def _answers(url: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
                return response.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    return check
