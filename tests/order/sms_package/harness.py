"""order_rpc, the cost center and the sandbox's payment channel, all real, in one process, on files of their own."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.costcenter.v1.costcenter_pb2_grpc import (
    CostCenterServiceStub,
    add_CostCenterServiceServicer_to_server,
)
from brandmesh.smspackage.v1 import sms_package_pb2 as pb
from brandmesh.smspackage.v1.sms_package_pb2_grpc import SmsPackageJobServiceStub, SmsPackageServiceStub
from costcenter_rpc import tables as cost_center_tables
from costcenter_rpc import wiring as cost_center_wiring
from costcenter_rpc.domain import Policy
from costcenter_rpc.jobs import Jobs
from costcenter_rpc.ledger import Ledger
from costcenter_rpc.service import CostCenter
from costcenter_rpc.servicer import CostCenterServicer
from mesh.bus.memory import MemoryBus
from mesh.bus.port import BusUnavailableError, Delivery, Message
from mesh.channel import Peer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.server import Server
from mesh.settings import RpcSettings
from order_rmq import wiring as order_rmq_wiring
from order_rmq.clients import CostCenter as CostCenterClient
from order_rmq.clients import OrderJobs
from order_rmq.consumer import PAID_QUEUE
from order_rmq.handlers import PaidOrders
from order_rmq.settings import Settings as RmqSettings
from order_rpc import wiring
from order_rpc.settings import Settings
from order_rpc.sms_package import tables
from tests.databases import empty_database
from tests.order.databases import PARTS
from tests.sandbox.harness import MERCHANT, PAYMENT_SECRET, Sandbox, quick_settings, running_sandbox

BRAND = 7
OTHER_BRAND = 8
PACKAGE = pb.PutPackageRequest(package_id="sms-1000", title="一千条短信", credits=1000, price_fen=4_500, valid_days=30)
DAY_MS = 86_400_000


class SwitchedBus(MemoryBus):
    """A bus that can be away for publishers."""

    is_away = False

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        if self.is_away:
            raise BusUnavailableError("switched off")
        await super().publish(queue, messages, delay_seconds)


def sign(fields: Mapping[str, str | int], secret: str = PAYMENT_SECRET) -> str:
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "sign")
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def notification(payment: pb.Payment, secret: str = PAYMENT_SECRET, **changes: str) -> dict[str, str]:
    """What the channel would post of a payment, signed after the changes; an empty change leaves the field out."""
    fields = {
        "merchantId": MERCHANT,
        "outTradeNo": payment.payment_id,
        "tradeNo": payment.trade_no or "1",
        "amount": str(payment.amount_fen),
        "status": "SUCCESS",
        "paidAt": str(time.time_ns() // 1_000_000),
        "nonce": "0123456789abcdef",
        **changes,
    }
    fields = {name: value for name, value in fields.items() if value}
    return {**fields, "sign": sign(fields, secret)}


@dataclass
class Webhook:
    """Where the channel notifies: passes each notification on, as the gateway does. `said` is what came of each."""

    peer: Peer
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.orders = SmsPackageServiceStub(self.peer.channel)

    async def handle(self, request: web.Request) -> web.Response:
        fields = {name: str(value) for name, value in json.loads(await request.read()).items()}
        try:
            await self.peer.call(self.orders.PaymentNotify, pb.PaymentNotifyRequest(fields=fields))
        except DomainError as error:
            self.said.append(error.reason)
            return web.json_response({"code": "FAIL", "reason": error.reason}, status=400)
        self.said.append("SUCCESS")
        return web.json_response({"code": "SUCCESS"})


@dataclass
class Shop:
    """Everything that selling a package takes."""

    address: str
    peer: Peer
    cost_center_address: str
    cost_center_peer: Peer
    sandbox: Sandbox
    webhook: Webhook
    bus: SwitchedBus
    database: Database
    settings: Settings
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.orders = SmsPackageServiceStub(self.peer.channel)
        self.jobs = SmsPackageJobServiceStub(self.peer.channel)
        self.cost_center = CostCenterServiceStub(self.cost_center_peer.channel)
        self.granting = PaidOrders(OrderJobs(self.peer), CostCenterClient(self.cost_center_peer))

    # The buyer.

    async def create(self, *, brand_id: int = BRAND, quantity: int = 1, **changes: Any) -> pb.Order:
        request = {"request_id": f"request-{next(self.numbers)}", "package_id": PACKAGE.package_id} | changes
        message = pb.CreateOrderRequest(brand_id=brand_id, quantity=quantity, **request)
        return (await self.peer.call(self.orders.CreateOrder, message)).order

    async def get(self, order: pb.Order) -> pb.Order:
        message = pb.GetOrderRequest(brand_id=order.brand_id, order_id=order.order_id)
        return (await self.peer.call(self.orders.GetOrder, message)).order

    async def open(self, order: pb.Order) -> pb.Payment:
        message = pb.CreatePaymentRequest(brand_id=order.brand_id, order_id=order.order_id)
        return (await self.peer.call(self.orders.CreatePayment, message)).payment

    async def cancel(self, order: pb.Order) -> pb.Order:
        message = pb.CancelOrderRequest(brand_id=order.brand_id, order_id=order.order_id)
        return (await self.peer.call(self.orders.CancelOrder, message)).order

    async def pay(self, payment: pb.Payment) -> None:
        """Pay on the channel's page; the channel then notifies."""
        status, answer = await self.sandbox.post_status(payment.pay_url.removeprefix(self.sandbox.url) + ":pay", {})
        assert (status, answer["status"]) == (200, "SUCCESS"), answer

    # The channel.

    async def notify(self, fields: Mapping[str, str]) -> pb.Payment:
        """Take a notification past the webhook."""
        return (await self.peer.call(self.orders.PaymentNotify, pb.PaymentNotifyRequest(fields=fields))).payment

    async def open_and_notify(self, order: pb.Order) -> pb.Payment:
        return await self.notify(notification(await self.open(order)))

    # order_rmq.

    async def paid_orders(self, *orders: pb.Order) -> list[pb.PaidOrder]:
        message = pb.GetPaidOrdersRequest(order_ids=[int(order.order_id) for order in orders])
        return list((await self.peer.call(self.jobs.GetPaidOrders, message)).orders)

    async def record_grants(self, *lots: tuple[str, str]) -> None:
        """Record grants, each as (order_id, lot_id)."""
        grants = [pb.OrderGrant(order_id=int(order_id), lot_id=lot_id) for order_id, lot_id in lots]
        await self.peer.call(self.jobs.RecordGrants, pb.RecordGrantsRequest(grants=grants))

    async def publish_paid_events(self, events_max: int = 100) -> int:
        message = pb.PublishPaidEventsRequest(events_max=events_max)
        return (await self.peer.call(self.jobs.PublishPaidEvents, message)).published_count

    async def cancel_overdue(self, orders_max: int = 100) -> int:
        message = pb.CancelOverdueOrdersRequest(orders_max=orders_max)
        return (await self.peer.call(self.jobs.CancelOverdueOrders, message)).cancelled_count

    async def take_messages(self) -> list[Delivery]:
        """Take what is on the queue now off it."""
        deliveries = await self.bus.receive(PAID_QUEUE, 1000, 30)
        await self.bus.ack(deliveries)
        return deliveries

    async def published_ids(self) -> list[str]:
        """Take what is on the queue now off it, and answer the orders that it names."""
        deliveries = await self.take_messages()
        return [str(order_id) for delivery in deliveries for order_id in json.loads(delivery.body)["ids"]]

    @asynccontextmanager
    async def consuming(self, **changes: Any) -> AsyncIterator[asyncio.Task[None]]:
        """order_rmq, running; one that was cancelled is a crashed one."""
        settings = RmqSettings(
            **{
                "peer_order": self.address,
                "peer_costcenter": self.cost_center_address,
                "sweep_seconds": 0.2,
                "drain_seconds": 2,
                **changes,
            }
        )
        stop = asyncio.Event()
        task = asyncio.create_task(order_rmq_wiring.consume(settings, self.bus, stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    # What nobody but a test does.

    async def account(self, brand_id: int = BRAND) -> costcenter_pb2.GetSmsAccountResponse:
        message = costcenter_pb2.GetSmsAccountRequest(brand_id=brand_id)
        return await self.cost_center_peer.call(self.cost_center.GetSmsAccount, message)

    async def open_account(self, brand_id: int = BRAND) -> None:
        message = costcenter_pb2.OpenSmsAccountRequest(brand_id=brand_id)
        await self.cost_center_peer.call(self.cost_center.OpenSmsAccount, message)

    async def lots(self, brand_id: int = BRAND) -> list[costcenter_pb2.SmsLot]:
        message = costcenter_pb2.ListSmsLotsRequest(brand_id=brand_id)
        return list((await self.cost_center_peer.call(self.cost_center.ListSmsLots, message)).lots)

    async def run_out(self, *orders: pb.Order) -> None:
        """Let the time of orders be over."""
        await self._set(tables.orders, [order.order_id for order in orders], expires_at_ms=1)

    async def lose_message(self, *orders: pb.Order) -> None:
        """Let the pause before events are published again be over."""
        await self._set(tables.outbox, [order.order_id for order in orders], due_at_ms=1)

    async def _set(self, table: sa.Table, order_ids: Sequence[str], **values: int) -> None:
        statement = sa.update(table).where(table.c.order_id.in_([int(one) for one in order_ids])).values(values)
        async with self.database.write() as connection:
            assert (await connection.execute(statement)).rowcount == len(order_ids)

    async def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        async with self.database.read() as connection:
            rows = await connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            return [dict(row._mapping) for row in rows]


@asynccontextmanager
async def running_shop(directory: Path, **changes: Any) -> AsyncIterator[Shop]:
    """Start everything but order_rmq, on empty databases; `changes` are settings of order_rpc."""
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(running_sandbox(quick_settings()))
        bus = SwitchedBus()
        cost_center_address = await _start_cost_center(directory, stack)
        settings = Settings(
            **{
                "listen": "127.0.0.1:0",
                "database_url": changes.get("database_url") or await prepare(directory),
                "migrate": False,
                "drain_seconds": 0.5,
                "payment_channel_url": sandbox.url,
                "payment_merchant_id": MERCHANT,
                "payment_secret": PAYMENT_SECRET,
                "user_token_keys": "test:" + "k" * 43,
                **changes,
            }
        )
        server = await stack.enter_async_context(wiring.open_server(settings, bus))
        await server.start()
        stack.push_async_callback(server.drain)
        peer = _connect("order_rpc", server.address, stack)
        cost_center_peer = _connect("costcenter_rpc", cost_center_address, stack)
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        webhook = Webhook(peer)
        url = await _serve_webhook(webhook, stack)
        await sandbox.post("/admin/targets", {"payment_notify_url": url})
        shop = Shop(
            server.address, peer, cost_center_address, cost_center_peer, sandbox, webhook, bus, database, settings
        )
        await peer.call(shop.orders.PutPackage, PACKAGE)
        yield shop


async def prepare(directory: Path) -> str:
    """Make an empty, migrated database for the orders; answer its URL."""
    return await empty_database(directory, "order", *PARTS)


async def _start_cost_center(directory: Path, stack: AsyncExitStack) -> str:
    scripts, metadata = cost_center_wiring.MIGRATIONS, cost_center_tables.metadata
    database = Database(await empty_database(directory, "costcenter", (scripts, metadata)))
    stack.push_async_callback(database.close)
    ledger = await stack.enter_async_context(Ledger(database, Policy()))
    jobs = await stack.enter_async_context(Jobs(database, ledger, MemoryBus()))
    server = Server(RpcSettings(database_url="unused", listen="127.0.0.1:0", drain_seconds=0.5))
    server.add(
        add_CostCenterServiceServicer_to_server,
        CostCenterServicer(CostCenter(database, ledger), ledger, jobs),
        costcenter_pb2.DESCRIPTOR.services_by_name["CostCenterService"],
    )
    await server.start()
    stack.push_async_callback(server.drain)
    return server.address


def _connect(name: str, address: str, stack: AsyncExitStack) -> Peer:
    peer = Peer(name, address)
    stack.push_async_callback(peer.close)
    return peer


async def _serve_webhook(webhook: Webhook, stack: AsyncExitStack) -> str:
    app = web.Application()
    app.router.add_post("/paid", webhook.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}/paid"
