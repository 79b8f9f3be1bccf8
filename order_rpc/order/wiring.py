"""What the order service is made of."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from brandmesh.order.v1 import order_pb2
from brandmesh.order.v1.order_pb2_grpc import (
    add_OrderJobServiceServicer_to_server,
    add_OrderServiceServicer_to_server,
)
from mesh.ids import IdAllocator
from mesh.messages import Inbox, Mailbox
from order_rpc.host import Host
from order_rpc.order import tables
from order_rpc.order.book import OrderBook
from order_rpc.order.cancelling import Cancelling
from order_rpc.order.checking import Checking
from order_rpc.order.clients import BUSINESS, Coupons, Goods, Payments, Wallets
from order_rpc.order.domain import Policy
from order_rpc.order.news import News
from order_rpc.order.placing import Placing
from order_rpc.order.service import Orders
from order_rpc.order.servicer import OrderJobServicer, OrderServicer
from order_rpc.paid_payments import PaidPayments


async def add(host: Host) -> None:
    """Serve orders in this process."""
    await host.migrate(Path(__file__).parent)
    database, settings = host.database, host.settings
    outbox = host.outbox("order", tables.produced_message)
    ids = IdAllocator(database, tables.id_block)
    goods, coupons, wallets = Goods(host.peer("goods")), Coupons(host.peer("coupon")), Wallets(host.peer("wallet"))
    payment_peer = host.peer("payment")
    cancelling = Cancelling(database, PaidPayments(payment_peer, BUSINESS), outbox)
    news = News(database, outbox)
    policy = Policy(
        confirm_ms_max=int(settings.order_confirm_seconds * 1000),
        lifetime_ms=settings.order_lifetime_minutes * 60_000,
    )
    book = await host.stack.enter_async_context(aclosing(OrderBook(database, outbox, policy)))
    placing = Placing(
        book,
        ids=ids,
        checking=Checking(goods, coupons, wallets),
        goods=goods,
        coupons=coupons,
        wallets=wallets,
        cancelling=cancelling,
        policy=policy,
    )
    orders = Orders(database, Payments(payment_peer), cancelling, outbox)
    effects = {
        ("order", "timeout"): cancelling.time_out,
        ("payment", "paid"): news.paid,
        ("payment", "refunded"): news.refunded,
        ("flash_sale", "sold"): news.sold,
    }
    inbox = Inbox(database, "order", tables.consumed_message, effects, outbox=outbox)
    host.mailboxes.add("order", Mailbox(outbox, inbox))
    services = order_pb2.DESCRIPTOR.services_by_name
    host.server.add(add_OrderServiceServicer_to_server, OrderServicer(placing, orders), services["OrderService"])
    host.server.add(
        add_OrderJobServiceServicer_to_server, OrderJobServicer(cancelling, ids), services["OrderJobService"]
    )
