"""The peers in this service's words. Each call may raise DomainError, and may be made again as it is."""

from __future__ import annotations

import asyncio

from brandmesh.order.v1 import order_pb2
from brandmesh.order.v1.order_pb2_grpc import OrderJobServiceStub
from mesh.channel import Peer

BLOCK = 1000
"""Ids that are asked for at once. Those that a process does not use are lost, and there are enough."""


class OrderIds:
    """Ids of orders, which the order service gives out."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = OrderJobServiceStub(peer.channel)
        self._lock = asyncio.Lock()
        self._left = range(0)

    async def take(self, count: int) -> range:
        """Answer `count` consecutive ids, up to 10,000, that no other order has."""
        async with self._lock:
            if len(self._left) < count:
                wanted = max(count, BLOCK)
                request = order_pb2.AllocateOrderIdsRequest(count=wanted)
                first = (await self._peer.call(self._stub.AllocateOrderIds, request)).first_order_id
                self._left = range(first, first + wanted)
            taken, self._left = self._left[:count], self._left[count:]
            return taken
