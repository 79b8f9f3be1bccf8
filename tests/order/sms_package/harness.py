"""order_rpc with packages and payments, the cost center and the sandbox's channels, all real, on files of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.costcenter.v1.costcenter_pb2_grpc import (
    CostCenterServiceStub,
    add_CostCenterServiceServicer_to_server,
)
from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from brandmesh.payment.v1 import payment_pb2
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
from mesh.bus.port import Delivery
from mesh.channel import Peer
from mesh.database import Database
from mesh.forwarding import Forwarding, read_message
from mesh.message_queues import QUEUE_PREFIX
from mesh.messages.domain import ProducedStatus
from mesh.server import Server
from mesh.settings import RpcSettings
from mesh.worker import Dead, Done
from order_rmq.clients import CostCenter as CostCenterClient
from order_rmq.clients import OrderJobs
from order_rmq.consumer import PAID_QUEUE
from order_rmq.handlers import PaidOrders
from order_rpc.sms_package import tables
from tests.databases import empty_database
from tests.order.payment.channel import notification, pay_at
from tests.order.payment.harness import Desk, running_desk
from tests.order.running import Running

BRAND = 7
OTHER_BRAND = 8
PACKAGE = pb.PutPackageRequest(package_id="sms-1000", title="一千条短信", credits=1000, price_fen=4_500, valid_days=30)
DAY_MS = 86_400_000
SETTLED = int(ProducedStatus.SETTLED)


def paid_at_channel(payment: pb.Payment, **changes: str) -> dict[str, str]:
    """What the channel would post of a payment."""
    return notification(payment.payment_id, payment.amount_fen, payment.trade_no or "1", **changes)


@dataclass
class Shop:
    """Everything that selling a package takes."""

    desk: Desk
    cost_center_address: str
    cost_center_peer: Peer

    def __post_init__(self) -> None:
        self.running: Running = self.desk.running
        self.peer, self.bus, self.database = self.running.peer, self.running.bus, self.running.database
        self.sandbox, self.webhook = self.desk.sandbox, self.desk.webhook
        self.numbers = self.running.numbers
        self.orders = SmsPackageServiceStub(self.peer.channel)
        self.jobs = SmsPackageJobServiceStub(self.peer.channel)
        self.cost_center = CostCenterServiceStub(self.cost_center_peer.channel)
        self.forwarding = Forwarding(lambda _: self.peer)
        self.granting = PaidOrders(OrderJobs(self.peer), CostCenterClient(self.cost_center_peer), self.forwarding)

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
        await pay_at(self.sandbox, payment.pay_url)

    # The channel.

    async def notify(self, fields: Mapping[str, str]) -> payment_pb2.Payment:
        """Take a notification past the webhook, and let everybody hear of it."""
        try:
            return await self.desk.notify(fields)
        finally:
            await self.deliver()

    async def open_and_notify(self, order: pb.Order) -> payment_pb2.Payment:
        return await self.notify(paid_at_channel(await self.open(order)))

    # order_rmq.

    async def paid_orders(self, *orders: pb.Order) -> list[pb.PaidOrder]:
        message = pb.GetPaidOrdersRequest(order_ids=[int(order.order_id) for order in orders])
        return list((await self.peer.call(self.jobs.GetPaidOrders, message)).orders)

    async def record_grants(self, *lots: tuple[str, str]) -> None:
        """Record grants, each as (order_id, lot_id)."""
        grants = [pb.OrderGrant(order_id=int(order_id), lot_id=lot_id) for order_id, lot_id in lots]
        await self.peer.call(self.jobs.RecordGrants, pb.RecordGrantsRequest(grants=grants))

    async def publish(self, messages_max: int = 100) -> int:
        """Have messages published that are due."""
        request = messaging_pb2.PublishMessagesRequest(messages_max=messages_max)
        return (await self.peer.call(MessageServiceStub(self.peer.channel).PublishMessages, request)).published_count

    async def deliver(self) -> None:
        """Hand on the messages that are on the bus, and those that come of them; grants are left where they are."""
        while any([await self._deliver_some(queue) for queue in await self.bus.queues(QUEUE_PREFIX)]):
            pass

    async def _deliver_some(self, queue: str) -> bool:
        if queue == PAID_QUEUE or not (deliveries := await self.bus.receive(queue, 100, 30)):
            return False
        outcomes = await self.forwarding.handle(queue, deliveries)
        assert set(outcomes) == {Done()}, outcomes
        await self.bus.ack(deliveries)
        return True

    async def grant(self) -> None:
        """Grant what is on the queue now."""
        if deliveries := await self.take_messages():
            assert set(await self.granting.handle("", deliveries)) == {Done()}

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
        return [_order_of(delivery) for delivery in await self.take_messages()]

    @asynccontextmanager
    async def consuming(self, **changes: Any) -> AsyncIterator[asyncio.Task[None]]:
        """order_rmq, running; one that was cancelled is a crashed one."""
        settings = {"peer_costcenter": self.cost_center_address, **changes}
        async with self.running.consuming(**settings) as task:
            yield task

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
        ids = [int(order.order_id) for order in orders]
        await self.running.execute(
            sa.update(tables.orders).where(tables.orders.c.order_id.in_(ids)).values(expires_at_ms=1)
        )

    async def lose_message(self, *orders: pb.Order) -> None:
        """Let the pause before the news of paid orders is published again be over."""
        table, ids = tables.produced_message, [order.order_id for order in orders]
        await self.running.execute(
            sa.update(table).where(table.c.msg_key.in_(ids), table.c.msg_tag == "paid").values(due_at_ms=1)
        )

    async def unsettled(self, tag: str = "paid") -> list[str]:
        """Name the orders whose message has had no effect yet, as far as this service knows."""
        rows = await self.running.rows(tables.produced_message)
        return [row["msg_key"] for row in rows if row["msg_tag"] == tag and row["msg_status"] != SETTLED]

    async def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        return await self.running.rows(table)


def _order_of(delivery: Delivery) -> str:
    message = read_message(delivery)
    assert not isinstance(message, Dead), message
    return message.msg_key


@asynccontextmanager
async def running_shop(directory: Path, **changes: Any) -> AsyncIterator[Shop]:
    """Start everything but order_rmq, on empty databases; `changes` are settings of order_rpc."""
    async with AsyncExitStack() as stack:
        cost_center_address = await _start_cost_center(directory, stack)
        desk = await stack.enter_async_context(running_desk(directory, "sms_package", **changes))
        cost_center_peer = Peer("costcenter_rpc", cost_center_address)
        stack.push_async_callback(cost_center_peer.close)
        shop = Shop(desk, cost_center_address, cost_center_peer)
        await shop.peer.call(shop.orders.PutPackage, PACKAGE)
        yield shop


async def _start_cost_center(directory: Path, stack: AsyncExitStack) -> str:
    scripts, metadata = cost_center_wiring.MIGRATIONS, cost_center_tables.metadata
    database = Database(await empty_database(directory, "costcenter", (scripts, metadata)))
    stack.push_async_callback(database.close)
    ledger = await stack.enter_async_context(aclosing(Ledger(database, Policy())))
    jobs = await stack.enter_async_context(aclosing(Jobs(database, ledger, MemoryBus())))
    server = Server(RpcSettings(database_url="unused", listen="127.0.0.1:0", drain_seconds=0.5))
    server.add(
        add_CostCenterServiceServicer_to_server,
        CostCenterServicer(CostCenter(database, ledger), ledger, jobs),
        costcenter_pb2.DESCRIPTOR.services_by_name["CostCenterService"],
    )
    await server.start()
    stack.push_async_callback(server.drain)
    return server.address
