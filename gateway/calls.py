"""Calling the rpcs behind the routes: one by one, or many callers' requests as one batch call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mesh.batch import unpack
from mesh.channel import Peer
from mesh.coalesce import Coalescer
from mesh.errors import DomainError

COALESCED_REQUEST_BYTES_MAX = 13_000
"""Some 1,000 phones: a larger request fills a call by itself, and would keep small ones waiting."""


class Call(Protocol):
    """One rpc."""

    async def __call__(self, request: Message, timeout_seconds: float) -> Message:
        """Make the call. Raises DomainError."""
        ...


class UnaryCall:
    """One rpc, one call a request."""

    def __init__(self, peer: Peer, method: MethodDescriptor) -> None:
        self._peer = peer
        self._method = peer.channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )

    async def __call__(self, request: Message, timeout_seconds: float) -> Message:
        return await self._peer.call(self._method, request, timeout_seconds)


class CoalescedCall:
    """One rpc whose requests travel together as its Batch rpc, brands in turn.

    A caller's deadline, or its end, is its own: the batch goes on for the others. The batch call carries the trace
    context of the request that started it.
    """

    def __init__(
        self,
        peer: Peer,
        method: MethodDescriptor,
        batch: MethodDescriptor,
        *,
        brand_field: str,
        timeout_seconds: float,
        batch_max: int,
        pending_max: int,
        in_flight_max: int,
    ) -> None:
        self._single = UnaryCall(peer, method)
        self._batch = UnaryCall(peer, batch)
        self._batch_class = GetMessageClass(batch.input_type)
        self._timeout_seconds = timeout_seconds
        self._coalescer: Coalescer[Message, Message] = Coalescer(
            self._call_batch,
            name=f"the queue for {method.name}",
            batch_max=batch_max,
            pending_max=pending_max,
            key=attrgetter(brand_field),
            in_flight_max=in_flight_max,
        )

    async def __call__(self, request: Message, timeout_seconds: float) -> Message:
        if request.ByteSize() > COALESCED_REQUEST_BYTES_MAX:
            return await self._single(request, timeout_seconds)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._coalescer.submit(request)
        except TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise DomainError(code, code.name, "not done in time") from None

    async def close(self) -> None:
        """Finish what was taken."""
        await self._coalescer.close()

    async def _call_batch(self, requests: Sequence[Message]) -> Sequence[Message | BaseException]:
        response: Any = await self._batch(self._batch_class(requests=requests), self._timeout_seconds)
        results: Sequence[Message | BaseException] = unpack(response.results)
        return results
