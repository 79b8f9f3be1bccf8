"""Calling a peer: one channel, a deadline on every call, retries of what is safe to retry, errors as `DomainError`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from mesh import telemetry
from mesh.errors import from_rpc_error

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

# Every mutating request is idempotent by its request_id, so a call that the peer did not answer may be made again. What
# the peer itself refused four times is not made again by who called us: see `DomainError.is_tried_out`.
_SERVICE_CONFIG = json.dumps(
    {
        # A name that stands for several processes, as a headless service does, has its calls spread over all of them.
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


class UnaryMethod(Protocol[Request, Response]):
    """A method of a generated async stub."""

    def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]: ...


class Peer:
    """One other service of the mesh.

    `channel` is for building stubs; `call` makes every call. The name is used in messages to people.
    """

    def __init__(
        self, name: str, address: str, *, timeout_seconds: float = 10.0, message_bytes_max: int = 32 << 20
    ) -> None:
        self.name = name
        self._timeout_seconds = timeout_seconds
        self.channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.service_config", _SERVICE_CONFIG),
                ("grpc.max_send_message_length", message_bytes_max),
                ("grpc.max_receive_message_length", message_bytes_max),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                # A restarted peer is tried again soon: the default grows to two minutes.
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 2_000),
            ],
        )

    async def call(
        self,
        method: UnaryMethod[Request, Response],
        request: Request,
        timeout_seconds: float | None = None,
    ) -> Response:
        """Call `method` with a deadline and the trace context. Raises DomainError."""
        try:
            return await method(
                request,
                timeout=timeout_seconds or self._timeout_seconds,
                metadata=tuple(telemetry.inject_headers().items()),
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def close(self) -> None:
        """Close the channel; calls under way fail."""
        await self.channel.close()
