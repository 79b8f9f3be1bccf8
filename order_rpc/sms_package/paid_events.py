"""The paid events: written with the payment, published after it, and again until the order is granted."""

from __future__ import annotations

from collections.abc import Mapping

from mesh import telemetry
from mesh.bus.id_messages import publish_ids
from mesh.bus.port import Bus, BusUnavailableError
from mesh.database import Database
from order_rpc.sms_package import storage
from order_rpc.sms_package.domain import Policy
from order_rpc.sms_package.refusals import bus_unavailable

PAID_QUEUE = "order.paid"

log = telemetry.logger()


class PaidEvents:
    """Publishes the ids of paid orders from the outbox, whose rows live until the grant is recorded."""

    def __init__(self, database: Database, bus: Bus, policy: Policy) -> None:
        self._database = database
        self._bus = bus
        self._policy = policy

    async def publish_quietly(self, order_id: int, created_at_ms: int) -> None:
        """Publish an event that was just committed. When the bus is away, `publish_due` does it later."""
        try:
            await self._publish({order_id: created_at_ms})
        except BusUnavailableError as error:
            log.warning("a paid event waits for the sweep", order_id=order_id, error=str(error))

    async def publish_due(self, events_max: int) -> int:
        """Publish what was never published, or so long ago that its message may be lost; answer how many.

        Raises BUS_UNAVAILABLE.
        """
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            events = await storage.due_events(connection, now_ms=now_ms, limit=events_max)
        try:
            await self._publish(events)
        except BusUnavailableError as error:
            raise bus_unavailable() from error
        return len(events)

    async def _publish(self, events: Mapping[int, int]) -> None:
        """Publish first: a crash before the row knows makes a duplicate, the other way round a loss."""
        if not events:
            return
        await publish_ids(self._bus, PAID_QUEUE, list(events))
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            again = {
                order_id: self._policy.republish_at_ms(created_at_ms, now_ms)
                for order_id, created_at_ms in events.items()
            }
            await storage.postpone_events(connection, again)
