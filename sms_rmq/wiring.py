"""The one file that names concrete classes: what sms_rmq is made of."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket

from mesh.bus.connect import connect_bus
from mesh.bus.port import Bus
from mesh.channel import Peer
from mesh.inbox import Inbox, InboxConsumer, InboxOptions
from mesh.periodic import Periodic
from mesh.redis_connection import connect_redis
from mesh.worker import RetryPolicy, Route, Worker
from sms_rmq.callbacks import INBOX_NAME, CallbackHandler, ReceiptPull
from sms_rmq.clients import CostCenter, Leases, SmsDispatches
from sms_rmq.handlers import DispatchHandler
from sms_rmq.providers.accounts import ProviderAccounts
from sms_rmq.providers.chuanglan import ChuangLanCallbacks
from sms_rmq.providers.wiring import open_provider_accounts
from sms_rmq.queues import QUEUE_PREFIX, QueueSelection
from sms_rmq.settings import Settings

_SWEPT_MAX = 1000
_RECEIPTS_AT_ONCE = 500
_SINGLE_MESSAGES_AT_ONCE = 10


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Consume until `stop` is set."""
    bus = connect_bus(settings.bus_url, settings.redis_url, consumer="sms_rmq")
    redis = connect_redis(settings.redis_url, "sms_rmq")
    sms_peer = Peer("sms_rpc", settings.peer_sms, message_bytes_max=settings.message_bytes_max)
    cost_peer = Peer("costcenter_rpc", settings.peer_costcenter, message_bytes_max=settings.message_bytes_max)
    leases = Leases(_consumer_name(), settings.claim_lease_seconds, settings.submit_lease_seconds)
    async with (
        SmsDispatches(sms_peer, leases) as dispatches,
        CostCenter(cost_peer) as cost_center,
        open_provider_accounts(settings.provider_accounts) as accounts,
        asyncio.TaskGroup() as group,
    ):
        worker = Worker(
            bus,
            _routes(settings, DispatchHandler(dispatches, cost_center, accounts)),
            handlers_max=settings.handlers_max,
        )
        group.create_task(worker.run(stop, settings.drain_seconds))
        if settings.receipts:
            inbox = Inbox(redis, INBOX_NAME, settings.inbox_shards)
            handler = CallbackHandler(dispatches, cost_center, ChuangLanCallbacks(), bus)
            options = InboxOptions(batch_max=_RECEIPTS_AT_ONCE, concurrency=settings.inbox_shards)
            group.create_task(InboxConsumer(inbox, handler.handle, options).run(stop, settings.drain_seconds))
            for job in _periodic(settings, dispatches, accounts, inbox, bus):
                group.create_task(job.run(stop))
    await sms_peer.close()
    await cost_peer.close()
    await redis.aclose()
    await bus.close()


def _routes(settings: Settings, handler: DispatchHandler) -> list[Route]:
    """Single and batch queues: a message of the first names 50 dispatches, one of the second names one of 1,000."""
    selection = QueueSelection(settings.brands, settings.except_brands, settings.types, settings.modes)
    # The row decides how long a message is of use; until a claim succeeds, its queue message comes again.
    retry = RetryPolicy(first_delay_seconds=1, delay_seconds_max=30)
    return [
        Route(
            name=f"sms-{mode}",
            prefix=QUEUE_PREFIX,
            handler=handler.handle,
            accepts=lambda queue, mode=mode: selection.takes(queue, mode),  # type: ignore[misc]  # bound per route
            concurrency=settings.concurrency,
            batch_max=batch_max,
            retry=retry,
        )
        for mode, batch_max in (("single", _SINGLE_MESSAGES_AT_ONCE), ("batch", 1))
    ]


def _periodic(
    settings: Settings, dispatches: SmsDispatches, accounts: ProviderAccounts, inbox: Inbox, bus: Bus
) -> list[Periodic]:
    async def sweep() -> None:
        await dispatches.sweep(_SWEPT_MAX)

    jobs = [Periodic("sweep dispatches", sweep, settings.sweep_seconds)]
    if settings.pull_seconds:
        pull = ReceiptPull(accounts.accounts, inbox, bus)
        jobs.append(Periodic("pull receipts", pull.pull, settings.pull_seconds))
    return jobs


def _consumer_name() -> str:
    """Name this start of this process: a restarted one must not pass for the one that died."""
    return f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
