"""`/healthz` says that the process lives, `/readyz` that it can do its work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import grpc
import orjson
from grpc_health.v1 import health_pb2

from gateway.exchange import Answer, Endpoint, Request, endpoint
from mesh import telemetry
from mesh.channel import Peer

READY = "ready"
NOT_READY = "not ready"

CHECK_SECONDS_MAX = 2.0
_REMEMBERED_SECONDS = 1.0

log = telemetry.logger()

Check = Callable[[], Awaitable[object]]
"""Raises when what it checks is not ready."""


class NotServingError(Exception):
    """A peer answers, and says that it does not serve."""


def peer_check(peer: Peer) -> Check:
    """Ask a peer's gRPC health service about the server as a whole."""
    ask = peer.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

    async def check() -> None:
        answer = await ask(health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS_MAX)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise NotServingError(peer.name)

    return check


class Readiness:
    """Checks everything that requests need, at most once a second however often it is asked."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._lock = asyncio.Lock()
        self._states: dict[str, str] = {}
        self._checked_at_seconds = float("-inf")
        self.is_draining = False

    def endpoints(self) -> list[Endpoint]:
        return [endpoint("GET", "/healthz", self._healthz), endpoint("GET", "/readyz", self._readyz)]

    async def _healthz(self, _: Request, __: Sequence[str]) -> Answer:
        return Answer(orjson.dumps({"status": "alive"}))

    async def _readyz(self, _: Request, __: Sequence[str]) -> Answer:
        """200 when all is ready; 503 naming each part otherwise, and from the start of draining."""
        async with self._lock:
            if time.monotonic() - self._checked_at_seconds > _REMEMBERED_SECONDS:
                states = await asyncio.gather(*(self._state(name, check) for name, check in self._checks.items()))
                self._states = dict(zip(self._checks, states, strict=True))
                self._checked_at_seconds = time.monotonic()
        told = {"status": self._status(), "checks": self._states}
        return Answer(orjson.dumps(told), 200 if self._status() == READY else 503)

    def _status(self) -> str:
        if self.is_draining:
            return "draining"
        return READY if set(self._states.values()) <= {READY} else NOT_READY

    async def _state(self, name: str, check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS_MAX):
                await check()
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it, it is not ready
            told = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
            log.warning("not ready", check=name, error=told)
            return NOT_READY
        return READY
