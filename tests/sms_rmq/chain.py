"""Both consumers between both services and a scripted provider: everything real but the provider and the clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from costcenter_rmq import consumer as costcenter_consumer
from costcenter_rmq.clients import CostCenterJobs
from costcenter_rmq.handlers import JobHandler
from costcenter_rmq.settings import Settings as CostCenterSettings
from costcenter_rpc import tables as costcenter_tables
from mesh.bus.port import DEAD_SUFFIX, Delivery
from mesh.giving_way import GivingWay
from mesh.inbox import Inbox, InboxItem, InboxOutcome
from mesh.redis_connection import connect_redis
from mesh.worker import Outcome, Route
from mesh.worker.batch import work
from sms_rmq import consumer as sms_consumer
from sms_rmq.callbacks import CallbackHandler, CallbackRequeue, Readers, encode
from sms_rmq.clients import CostCenter, Leases, Paces, SmsDispatches
from sms_rmq.handlers import DispatchHandler
from sms_rmq.providers.accounts import Account, ProviderAccounts
from sms_rmq.providers.chuanglan import ChuangLanCallbacks
from sms_rmq.providers.port import Receipt, Uplink, Verdict
from sms_rmq.settings import Settings
from sms_rpc import tables
from sms_rpc.domain import TERMINAL
from tests.sms_rmq.provider import PROVIDER_MESSAGE_ID, ScriptedProvider
from tests.sms_rpc.harness import CREDITS, HOUR_MS, SmsMesh, e164, ids_of, phone
from tests.sms_rpc.running import running_sms

CLAIM_SECONDS = 30
SUBMIT_SECONDS = 60


_NO_PACES = Paces(0, 0)
"""Of what these tests do side by side, everything is to be a call of its own."""


@dataclass
class Process:
    """What one process of sms_rmq holds."""

    dispatches: SmsDispatches
    handler: DispatchHandler
    callbacks: CallbackHandler
    requeue: CallbackRequeue
    routes: Sequence[Route]

    async def handle(self, queue: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Do with messages what the route does that takes their queue."""
        return await next(route for route in self.routes if route.takes(queue)).handler(queue, deliveries)


@dataclass
class Chain:
    """The whole way of an SMS."""

    mesh: SmsMesh
    provider: ScriptedProvider
    accounts: Sequence[Account]
    first: Process
    second: Process
    job_routes: Sequence[Route]

    @property
    def account(self) -> Account:
        """The account that carries messages inside mainland China."""
        return self.accounts[0]

    # Work that is done when a test says so.

    async def work(self, process: Process | None = None) -> None:
        """Let a process of sms_rmq work its queues until they are empty."""
        await self._work((process or self.first).routes)

    async def apply_jobs(self) -> None:
        """Let costcenter_rmq work its queues until they are empty."""
        await self._work(self.job_routes)

    async def _work(self, routes: Sequence[Route]) -> None:
        while any([await self._work_queue(routes, queue) for queue in await self.mesh.bus.queues("")]):
            pass

    async def _work_queue(self, routes: Sequence[Route], queue: str) -> bool:
        route = next((route for route in routes if route.takes(queue) and not queue.endswith(DEAD_SUFFIX)), None)
        if route is None:
            return False
        deliveries = await self.mesh.bus.receive(queue, route.batch_max, route.visibility_seconds)
        if deliveries:
            await work(self.mesh.bus, route, queue, deliveries)
        return bool(deliveries)

    def use(self, process: Process, **changes: str) -> None:
        """Let a process take the queues that these settings say."""
        process.routes = sms_consumer.routes(settings(**changes), process.handler, process.requeue)

    async def sweep(self) -> None:
        await self.first.dispatches.sweep(1000)

    async def go_on(self, seconds: float) -> None:
        """Let time pass, then sweep and work."""
        self.mesh.clock.pass_seconds(seconds)
        await self.sweep()
        await self.work()

    async def send(self, *phones: str, **changes: object) -> list[int]:
        """Send, and answer the messages."""
        return ids_of(await self.mesh.send(*(phones or [phone(1)]), **changes))

    async def receive(self, *receipts: Receipt, process: Process | None = None) -> Sequence[InboxOutcome]:
        """Handle receipts as if they had been pulled, and apply what they are worth."""
        items = [InboxItem.new(encode(receipt)) for receipt in receipts]
        outcomes = await (process or self.first).callbacks.handle(items)
        await self.apply_jobs()
        return outcomes

    async def take_uplinks(self, *uplinks: Uplink) -> None:
        await self.first.callbacks.handle([InboxItem.new(encode(uplink)) for uplink in uplinks])

    async def dead_letters(self, queue: str) -> list[Delivery]:
        return await self.mesh.bus.list_dead(queue, 100)

    async def expire_freezes(self) -> None:
        """Let all freezes that there are now be over, though their messages are still of use."""
        async with self.mesh.center_database.write() as connection:
            await connection.execute(sa.update(costcenter_tables.freeze).values(expires_at_ms=1))
        await self.mesh.apply_jobs()

    # What has to be so in the end.

    async def costs(self, spent: int, frozen: int = 0) -> None:
        """Check what the brand's account shows once all jobs are applied, and that the ledger is sound."""
        await self.apply_jobs()
        assert await self.mesh.spent_and_frozen() == (spent, frozen)
        await self.mesh.is_sound()

    async def run_out(self) -> None:
        """Let all times be over: freezes, receipts, and what is still told afterwards."""
        for _ in range(3):
            await self.go_on(80 * HOUR_MS / 1000)
        await self.apply_jobs()
        await self.mesh.apply_jobs()
        assert await self.mesh.states() == {}

    async def ends(self, spent: int) -> None:
        """Check that every message has come to an end when time is over, and that just what was not failed is paid."""
        await self.run_out()
        rows = await self.mesh.rows(tables.record)
        assert {row["status"] for row in rows} <= TERMINAL
        kept = sum(row["segments"] for row in rows if row["status"] in {"DELIVERED", "UNCONFIRMED"})
        assert kept == spent
        await self.costs(spent)


@asynccontextmanager
async def running_chain(
    directory: Path,
    provider: ScriptedProvider | None = None,
    num: int = CREDITS,
    *,
    international: bool = False,
    giving_way_seconds: float = 0,
) -> AsyncIterator[Chain]:
    """Start two processes of sms_rmq and one of costcenter_rmq, which work when they are told to."""
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(running_sms(directory))
        await mesh.open_brand(num=num, international=international)
        provider = provider or ScriptedProvider()
        accounts = [provider.as_account(mesh.clock.seconds)]
        if international:
            accounts.append(provider.as_account(mesh.clock.seconds, name="abroad", international=True))
        first, second = [
            await open_process(mesh, name, accounts, stack, giving_way_seconds) for name in ("first", "second")
        ]
        jobs = costcenter_consumer.routes(_job_settings(), JobHandler(CostCenterJobs(mesh.center_peer)))
        yield Chain(mesh, provider, accounts, first, second, jobs)


async def open_process(
    mesh: SmsMesh, name: str, accounts: Sequence[Account], stack: AsyncExitStack, giving_way_seconds: float = 0
) -> Process:
    """Build what one process of sms_rmq holds.

    It does not give way unless a test is about that: one that has a single message stand still would wait for it.
    """
    leases = Leases(name, CLAIM_SECONDS, SUBMIT_SECONDS)
    dispatches = await stack.enter_async_context(
        aclosing(SmsDispatches(mesh.sms_peer, leases, _NO_PACES, mesh.clock.seconds))
    )
    cost_center = await stack.enter_async_context(aclosing(CostCenter(mesh.center_peer, _NO_PACES)))
    giving_way = GivingWay(giving_way_seconds, beside_hurried_max=4)
    handler = DispatchHandler(dispatches, cost_center, ProviderAccounts(accounts), giving_way, mesh.clock.seconds)
    readers = Readers(ChuangLanCallbacks(), ChuangLanCallbacks(international=True))
    callbacks = CallbackHandler(dispatches, cost_center, readers, mesh.bus, giving_way)
    redis = connect_redis("redis://127.0.0.1:9", "nobody")
    stack.push_async_callback(redis.aclose)
    requeue = CallbackRequeue(Inbox(redis, "sms.receipts", 1))
    return Process(dispatches, handler, callbacks, requeue, sms_consumer.routes(settings(), handler, requeue))


@cache
def settings(**changes: str) -> Settings:
    """Make settings of sms_rmq with one account, as its environment would. Once: that takes longer than most tests."""
    account = {"name": "scripted", "base_url": "http://127.0.0.1:9", "account": "a", "password": "p"}
    return Settings.model_validate({"provider_accounts": [account]} | changes)


@cache
def _job_settings() -> CostCenterSettings:
    return CostCenterSettings()


def receipt(message_id: int, verdict: Verdict, number: int = 1, billed_segments: int = 0) -> Receipt:
    return Receipt(message_id, e164(number), PROVIDER_MESSAGE_ID, verdict, "CODE", billed_segments)
