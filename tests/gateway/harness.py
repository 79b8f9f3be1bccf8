"""A gateway served over real HTTP, in front of real gRPC servers whose answers are made up."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from google.protobuf.descriptor import FileDescriptor

from brandmesh.costcenter.v1 import costcenter_pb2, costcenter_pb2_grpc
from brandmesh.messagecenter.v1 import messagecenter_pb2, messagecenter_pb2_grpc
from brandmesh.payment.v1 import payment_pb2, payment_pb2_grpc
from brandmesh.sms.v1 import sms_pb2, sms_pb2_grpc
from gateway import wiring
from gateway.contracts import known_scopes
from gateway.http_server import HttpServer
from gateway.keys.domain import ApiKey, generate_key, hash_key
from gateway.keys.storage import insert_key, revoke_key
from gateway.settings import Settings
from mesh.access_tokens import AccessTokens
from mesh.database import Database
from mesh.server import Server
from mesh.settings import RpcSettings
from tests.gateway.servicer import CostCenter, MessageCenter, Payments, Sms

BRAND = 1001
"""The brand of the usual key."""

USER = "274877906944"
"""The user of the usual token."""


@dataclass
class Served:
    """A running gateway and what stands behind it."""

    url: str
    port: int
    http: aiohttp.ClientSession
    database: Database
    gateway: wiring.Gateway
    settings: Settings
    sms: Sms
    payments: Payments
    message_center: MessageCenter
    key: str = field(default="", repr=False)

    def headers(self, key: str = "") -> dict[str, str]:
        return {"authorization": f"Bearer {key or self.key}"}

    def token(self, *, brand_id: int = BRAND, user_id: str = USER, seconds: float = 600) -> str:
        """Issue a user's token, as the user service does."""
        expires_at_ms = int((time.time() + seconds) * 1000)
        return AccessTokens(self.settings.user_token_keys).issue(brand_id, user_id, expires_at_ms=expires_at_ms)

    async def make_key(
        self,
        *,
        brand_ids: frozenset[int] | None = frozenset({BRAND}),
        scopes: frozenset[str] | None = None,
        expires_at_ms: int | None = None,
    ) -> tuple[str, str]:
        """Store a new key; answer its id and its text."""
        key_id, text = generate_key()
        scopes = known_scopes() if scopes is None else scopes
        key = ApiKey(key_id, hash_key(text), "test", brand_ids, scopes, time.time_ns() // 1_000_000, expires_at_ms)
        async with self.database.write() as connection:
            await insert_key(connection, key)
        return key_id, text

    async def revoke(self, key_id: str) -> None:
        async with self.database.write() as connection:
            assert await revoke_key(connection, key_id, 1)

    async def raw(self, request: bytes, wait_seconds: float = 5.0) -> bytes:
        """Send bytes as they are and read until the gateway closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(wait_seconds):
                return await reader.read()
        finally:
            writer.close()


ServeGateway = Callable[..., Awaitable[Served]]
CompileProto = Callable[[str], FileDescriptor]


@asynccontextmanager
async def serve_gateway(directory: Path, valkey_url: str, **changes: Any) -> AsyncIterator[Served]:
    """Start the peers and the gateway; `changes` are settings."""
    async with AsyncExitStack() as stack:
        sms, costcenter, payments, center = Sms(), CostCenter(), Payments(), MessageCenter()  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
        peers = {
            "sms": await start_peer(stack, sms, sms_pb2, sms_pb2_grpc, "SmsService"),
            "costcenter": await start_peer(stack, costcenter, costcenter_pb2, costcenter_pb2_grpc, "CostCenterService"),
            "order": await start_peer(stack, payments, payment_pb2, payment_pb2_grpc, "PaymentService"),
            "messagecenter": await start_peer(
                stack,
                center,
                messagecenter_pb2,
                messagecenter_pb2_grpc,
                "MessageCenterService",
                "MessageCenterAdminService",
            ),
        }
        settings = Settings(
            **{
                "database_url": f"sqlite:///{directory}/gateway.db",
                "redis_url": valkey_url,
                "listen": "127.0.0.1:0",
                **{f"peer_{name}": address for name, address in peers.items()},
                "key_cache_seconds": 0.05,
                "user_token_keys": "test:" + "k" * 43,
                "chuanglan_webhook_secret": "s3cret",
                "chuanglan_webhook_receiver": "receiver-1",
                "chuanglan_webhook_password": "password-1",
                **changes,
            }
        )
        gateway = await stack.enter_async_context(wiring.build(settings))
        listener = wiring.listen(settings.listen)
        server = HttpServer(wiring.server_config(gateway.app, settings))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        port = listener.getsockname()[1]
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        database = Database(settings.database_url, pool_size=1)
        stack.push_async_callback(database.close)
        served = Served(f"http://127.0.0.1:{port}", port, http, database, gateway, settings, sms, payments, center)
        _, served.key = await served.make_key()
        try:
            yield served
        finally:
            await http.close()
            server.should_exit = True
            await serving


async def start_peer(stack: AsyncExitStack, servicer: Any, messages: Any, stubs: Any, *services: str) -> str:
    settings = RpcSettings(database_url="unused", listen="127.0.0.1:0", drain_seconds=0.1)
    server = Server(settings)
    for service in services:
        add = getattr(stubs, f"add_{service}Servicer_to_server")
        server.add(add, servicer, messages.DESCRIPTOR.services_by_name[service])
    await server.start()
    stack.push_async_callback(server.drain)
    return server.address
