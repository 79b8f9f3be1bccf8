"""The processes that have the services of orders, one connection to each address."""

from __future__ import annotations

from contextlib import AsyncExitStack

from mesh.channel import Peer
from order_rmq.settings import SERVICES, Service, Settings


class OrderPeers:
    """Finds the process of a service; services that share one share its connection."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._by_address: dict[str, Peer] = {}

    def of(self, service: str) -> Peer:
        """Answer the way to a service. Raises KeyError for one that is not known, or that there is not."""
        address = self._settings.address_of(service)
        peer = self._by_address.get(address)
        if peer is None:
            name = f"order_rpc ({service})"
            peer = self._by_address[address] = Peer(name, address, message_bytes_max=self._settings.message_bytes_max)
            self._stack.push_async_callback(peer.close)
        return peer

    def has(self, service: Service) -> bool:
        """Tell whether there is a service, anywhere."""
        return self._settings.has(service)

    def all(self) -> list[Peer]:
        """Answer one way to each process that has services."""
        for service in SERVICES:
            if self.has(service):
                self.of(service)
        return list(self._by_address.values())
