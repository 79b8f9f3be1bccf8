"""The one file that names concrete classes: what messagecenter_rmq is made of."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from mesh.bus.connect import connect_bus
from mesh.channel import Peer
from mesh.process import name_of_this_start
from mesh.worker import Worker
from messagecenter_rmq.clients import ImRecords, TxIm
from messagecenter_rmq.consumer import route, sweep
from messagecenter_rmq.handlers import ImRecordHandler
from messagecenter_rmq.pipeline import Pipeline
from messagecenter_rmq.sending import Sender, SendLimits
from messagecenter_rmq.settings import Settings


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Consume until `stop` is set."""
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="messagecenter_rmq")
    records_peer = Peer("messagecenter_rpc", settings.peer_messagecenter, message_bytes_max=settings.message_bytes_max)
    txim_peer = Peer("txim_rpc", settings.peer_txim, message_bytes_max=settings.message_bytes_max)
    async with aclosing(ImRecords(records_peer, name_of_this_start(), settings.lease_seconds)) as records:
        limits = SendLimits(settings.sends_in_flight_max, settings.send_timeout_seconds)
        sender = Sender(records, TxIm(txim_peer, settings.send_timeout_seconds), limits)
        pipeline = Pipeline(records, sender, settings.batch_recipients_max, settings.lease_seconds, stop)
        worker = Worker(bus, [route(settings, ImRecordHandler(pipeline))], handlers_max=settings.handlers_max)
        async with aclosing(pipeline), asyncio.TaskGroup() as group:
            group.create_task(worker.run(stop, settings.drain_seconds))
            group.create_task(sweep(settings, records).run(stop))
    await records_peer.close()
    await txim_peer.close()
    await bus.close()
