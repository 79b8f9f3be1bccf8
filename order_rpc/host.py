"""What a process of order_rpc gives to each service in it, and how they reach each other.

Services in one process share its server, its database and its connections, and nothing else: what one wants of another
goes through that one's contract, over gRPC or as a message, whether it runs here or elsewhere.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from mesh import migrations
from mesh.bus.port import Bus
from mesh.channel import Peer
from mesh.database import Database
from mesh.messages import Mailboxes, Outbox
from mesh.server import Server
from order_rpc.settings import Settings


@dataclass(slots=True)
class Host:
    """One process. `stack` closes what services open, when the process ends."""

    settings: Settings
    server: Server
    database: Database
    bus: Bus
    stack: AsyncExitStack
    mailboxes: Mailboxes = field(default_factory=Mailboxes)
    _peers: dict[str, Peer] = field(default_factory=dict)

    async def migrate(self, service_directory: Path) -> None:
        """Bring a service's tables up to date, from the `migrations` in its directory."""
        if self.settings.migrate:
            await migrations.upgrade(self.database, service_directory / "migrations")

    def outbox(self, service: str, table: sa.Table) -> Outbox:
        """Make a service's outbox, which finishes what it publishes before the process ends."""
        outbox = Outbox(self.database, self.bus, service, table)
        self.stack.push_async_callback(outbox.close)
        return outbox

    def peer(self, service: str) -> Peer:
        """Answer the way to a service, which may be in this very process."""
        address = self.settings.address_of(service)
        if address not in self._peers:
            peer = Peer(f"order_rpc ({service})", address, message_bytes_max=self.settings.message_bytes_max)
            self.stack.push_async_callback(peer.close)
            self._peers[address] = peer
        return self._peers[address]
