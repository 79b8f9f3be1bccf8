"""The one file that names concrete classes: what sms_rmq is made of."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from mesh.bus.connect import connect_bus
from mesh.channel import Peer
from mesh.giving_way import GivingWay
from mesh.inbox import Inbox, InboxConsumer, InboxOptions
from mesh.process import name_of_this_start
from mesh.redis_connection import connect_redis
from mesh.worker import Worker
from sms_rmq.callbacks import INBOX_NAME, CallbackHandler, CallbackRequeue, Readers, ReceiptPull
from sms_rmq.clients import CostCenter, Leases, Paces, SmsDispatches
from sms_rmq.consumer import routes, sweeps
from sms_rmq.handlers import DispatchHandler
from sms_rmq.providers.chuanglan import ChuangLanCallbacks
from sms_rmq.providers.wiring import open_provider_accounts
from sms_rmq.settings import Settings

_RECEIPTS_AT_ONCE = 200
"""More, and each service that they go through would do nothing else for some 20 ms."""

_GIVING_WAY_SECONDS_MAX = 0.1
"""How long receipts and campaigns wait for single messages: ten batches of receipts a second at the least, and ten
chunks of each lane."""


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Consume until `stop` is set."""
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="sms_rmq")
    redis = connect_redis(settings.redis_url, "sms_rmq")
    sms_peer = Peer("sms_rpc", settings.peer_sms, message_bytes_max=settings.message_bytes_max)
    cost_peer = Peer("costcenter_rpc", settings.peer_costcenter, message_bytes_max=settings.message_bytes_max)
    leases = Leases(name_of_this_start(), settings.claim_lease_seconds, settings.submit_lease_seconds)
    paces = Paces(settings.pace_before_sending_seconds, settings.pace_after_sending_seconds)
    async with (
        aclosing(SmsDispatches(sms_peer, leases, paces)) as dispatches,
        aclosing(CostCenter(cost_peer, paces)) as cost_center,
        open_provider_accounts(settings.provider_accounts) as accounts,
        asyncio.TaskGroup() as group,
    ):
        inbox = Inbox(redis, INBOX_NAME, settings.inbox_shards)
        giving_way = GivingWay(_GIVING_WAY_SECONDS_MAX, beside_hurried_max=settings.chunk_concurrency_beside_singles)
        dispatch_handler = DispatchHandler(dispatches, cost_center, accounts, giving_way)
        worker = Worker(
            bus,
            routes(settings, dispatch_handler, CallbackRequeue(inbox)),
            handlers_max=settings.handlers_max,
        )
        group.create_task(worker.run(stop, settings.drain_seconds))
        if settings.receipts:
            readers = Readers(ChuangLanCallbacks(), ChuangLanCallbacks(international=True))
            handler = CallbackHandler(dispatches, cost_center, readers, bus, giving_way)
            # One list at a time: while it is worked off the others fill up, and fewer, larger batches cost less.
            options = InboxOptions(batch_max=_RECEIPTS_AT_ONCE, concurrency=1, pace_seconds=paces.after_sending_seconds)
            group.create_task(InboxConsumer(inbox, handler.handle, options).run(stop, settings.drain_seconds))
            for sweep in sweeps(settings, dispatches, ReceiptPull(accounts.accounts, inbox, bus)):
                group.create_task(sweep.run(stop))
    await sms_peer.close()
    await cost_peer.close()
    await redis.aclose()
    await bus.close()
