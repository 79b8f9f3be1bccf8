"""Reading a whole mesh for the audit, by the ways that its users and operators have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

import sqlalchemy as sa

from chaos.customer import Customer
from chaos.logs import unexpected_errors
from chaos.shop_reading import read_order_services
from chaos.site import Site, account_of
from chaos.world import Brand, Entry, Heard, ImRecord, Message, Order, Submission, World
from costcenter_rpc.audit import audit as audit_ledger
from costcenter_rpc.jobs import JobState
from costcenter_rpc.tables import job
from gateway.webhooks.chuanglan import INBOX_NAME
from mesh.bus.connect import connect_bus
from mesh.bus.port import DEAD_SUFFIX
from mesh.database import Database
from mesh.inbox import Inbox
from mesh.redis_connection import connect_redis
from meshctl.app import Json
from sms_rmq.settings import Settings as SmsConsumerSettings

_PAGE = "1000"
_READS_AT_ONCE = 16
_DEAD_MAX = 1000


async def read_world(site: Site, expected_errors: Collection[str] = ()) -> World:
    """Read everything that there is to see. Raises what a part that is away makes of it."""
    ledger, jobs = await _ledger(site)
    waiting, dead = await _queues(site)
    inbox = await _inbox(site)
    return World(
        told=site.customers[0].told,
        brands=[await _brand(site, customer) for customer in site.customers],
        submissions=[_submission(one) async for one in _sandbox_pages(site, "/admin/messages")],
        heard=[Heard(one["account"], one["text"]) async for one in _sandbox_pages(site, "/admin/txim/messages")],
        ledger=ledger,
        waiting={**waiting, "jobs of the cost center": jobs, "the inbox of receipts": inbox},
        lost_receipts=site.lost_receipts,
        dead=dead,
        order_services=await read_order_services(site),
        died=site.mesh.supervisor.ended(),
        errors=await asyncio.to_thread(unexpected_errors, site.mesh.supervisor.log_directory, expected_errors),
    )


async def _ledger(site: Site) -> tuple[list[str], int]:
    """Have the ledger prove itself; answer what it found, and how many jobs wait."""
    database = Database(site.mesh.database_url("costcenter"))
    try:
        violations = await audit_ledger(database)
        pending = sa.select(sa.func.count()).select_from(job).where(job.c.state == JobState.PENDING.value)
        async with database.read() as connection:
            return [str(one) for one in violations], await connection.scalar(pending) or 0
    finally:
        await database.close()


async def _queues(site: Site) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Count what waits in each queue, and each queue's dead letters."""
    bus = connect_bus(site.ground.bus_url, site.ground.redis.url, "chaos")
    waiting, dead = {}, {}
    try:
        for name in await bus.queues(""):
            if name.endswith(DEAD_SUFFIX):
                dead[name] = len(await bus.list_dead(name.removesuffix(DEAD_SUFFIX), _DEAD_MAX))
            else:
                depth = await bus.depth(name)
                waiting[name] = depth.ready + depth.in_flight + depth.delayed
    finally:
        await bus.close()
    return waiting, dead


async def _inbox(site: Site) -> int:
    async with connect_redis(site.ground.redis.url, "chaos") as redis:
        shards = SmsConsumerSettings.model_fields["inbox_shards"].default
        depth = await Inbox(redis, INBOX_NAME, shards).depth()
    return depth.waiting + depth.later


async def _brand(site: Site, customer: Customer) -> Brand:
    calls = [call.call_id for call in customer.told.calls if call.brand_id == customer.brand_id]
    return Brand(
        brand_id=customer.brand_id,
        before=site.before[customer.brand_id],
        account=await account_of(customer),
        entries=[_entry(one) async for one in customer.pages("/smsAccount/entries", "entries")],
        messages=[_message(one) async for one in customer.pages("/sms", "messages")],
        im_records=await _im_records(customer, calls),
        orders=[_order(one) async for one in customer.pages("/smsPackageOrders", "orders")],
    )


async def _im_records(customer: Customer, call_ids: list[str]) -> list[ImRecord]:
    turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def read(call_id: str) -> list[ImRecord]:
        async with turns:
            call = await customer.app.ok("GET", f"/imCalls/{call_id}")
        return [ImRecord(call_id, one["account"], one["status"], one["reason"]) for one in call["records"]]

    return [record for records in await asyncio.gather(*map(read, call_ids)) for record in records]


async def _sandbox_pages(site: Site, path: str) -> AsyncIterator[Json]:
    """Read all pages of what the outside world got."""
    before = 0
    while True:
        page = await site.sandbox("GET", path, limit=_PAGE, before=str(before))
        for one in page["messages"]:
            yield one
        before = page["next_before"]
        if not before:
            return


def _entry(read: Json) -> Entry:
    deltas = (int(read[name]) for name in ("frozenDelta", "spentDelta", "grantedDelta"))
    return Entry(read["kind"], read["requestId"], *deltas)


def _message(read: Json) -> Message:
    return Message(
        message_id=read["messageId"],
        task_id=read["taskId"],
        phone=read["phone"].removeprefix("+86"),
        segments=read["segments"],
        status=read["status"],
        payment_id=read["paymentId"],
        failure_reason=read["failureReason"],
    )


def _submission(read: Json) -> Submission:
    receipt = read["receipt"]
    return Submission(read["phone"], read["uid"], read["segments"], receipt["status"] if receipt else "")


def _order(read: Json) -> Order:
    return Order(read["orderId"], read["status"], read["lotId"], int(read["amountFen"]))
