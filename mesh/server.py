"""The gRPC server that every `*_rpc` process runs: health, reflection, middleware, graceful drain.

server = Server(settings)
server.add(add_SmsServiceServicer_to_server, servicer, sms_pb2.DESCRIPTOR.services_by_name["SmsService"])
await server.start()
...
await server.drain()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from mesh import telemetry
from mesh.middleware import MIDDLEWARE, MiddlewareInterceptor
from mesh.settings import RpcSettings

Servicer = TypeVar("Servicer")
AddServicer = Callable[[Servicer, aio.Server], None]

_CONNECTION_AGE_MS_MAX = 300_000

log = telemetry.logger()


class Server:
    """One gRPC server with everything that is the same in each of them."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings
        self._server = aio.server(
            interceptors=[MiddlewareInterceptor(MIDDLEWARE, settings.request_timeout_seconds)],
            options=[
                ("grpc.max_send_message_length", settings.message_bytes_max),
                ("grpc.max_receive_message_length", settings.message_bytes_max),
                # Callers look their peer's name up when a connection ends: so they find processes that were added.
                ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS_MAX),
                ("grpc.max_connection_age_grace_ms", int(settings.request_timeout_seconds * 1000)),
                # Two servers on one port would each get half of the calls.
                ("grpc.so_reuseport", 0),
            ],
        )
        self._health = HealthServicer()
        self._names: list[str] = [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
        self.address = ""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def add(self, add_to_server: AddServicer[Servicer], servicer: Servicer, descriptor: ServiceDescriptor) -> None:
        """Serve `servicer` under the service that `descriptor` describes."""
        add_to_server(servicer, self._server)
        self._names.append(descriptor.full_name)

    async def start(self) -> None:
        """Listen and serve. `address` holds the port that was bound. Raises RuntimeError when it is taken."""
        reflection.enable_server_reflection([*self._names, reflection.SERVICE_NAME], self._server)
        port = self._server.add_insecure_port(self._settings.listen)
        self.address = f"{self._settings.listen.rpartition(':')[0]}:{port}"
        await self._server.start()
        await self._report(health_pb2.HealthCheckResponse.SERVING)
        log.info("serving", address=self.address, services=self._names[1:])

    async def drain(self) -> None:
        """Say NOT_SERVING, take no new calls, and let those under way finish within `drain_seconds`."""
        await self._report(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.stop(self._settings.drain_seconds)
        log.info("drained")

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain."""
        await self.start()
        try:
            await stop.wait()
        finally:
            await self.drain()

    async def _report(self, status: int) -> None:
        for name in ["", *self._names]:
            await self._health.set(name, status)
