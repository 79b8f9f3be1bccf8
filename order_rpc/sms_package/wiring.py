"""What the service of SMS packages is made of."""

from __future__ import annotations

from pathlib import Path

from brandmesh.smspackage.v1 import sms_package_pb2
from brandmesh.smspackage.v1.sms_package_pb2_grpc import (
    add_SmsPackageJobServiceServicer_to_server,
    add_SmsPackageServiceServicer_to_server,
)
from mesh.ids import IdAllocator
from mesh.messages import Inbox, Mailbox
from order_rpc.host import Host
from order_rpc.paid_payments import PaidPayments
from order_rpc.sms_package import tables
from order_rpc.sms_package.cancelling import Cancelling
from order_rpc.sms_package.clients import BUSINESS, Payments
from order_rpc.sms_package.grants import Grants
from order_rpc.sms_package.payments import OrderPayments
from order_rpc.sms_package.service import Orders
from order_rpc.sms_package.servicer import OrderJobServicer, OrderServicer

_MINUTE_MS = 60_000


async def add(host: Host) -> None:
    """Serve SMS packages in this process."""
    await host.migrate(Path(__file__).parent)
    database = host.database
    outbox = host.outbox("sms_package", tables.produced_message)
    payment_peer = host.peer("payment")
    cancelling = Cancelling(database, PaidPayments(payment_peer, BUSINESS), outbox)
    payments = OrderPayments(database, Payments(payment_peer), outbox)
    orders = Orders(
        database, IdAllocator(database, tables.id_block), cancelling, host.settings.order_lifetime_minutes * _MINUTE_MS
    )
    effects = {("payment", "paid"): payments.paid, ("payment", "refunded"): payments.refunded}
    inbox = Inbox(database, "sms_package", tables.consumed_message, effects, outbox=outbox)
    host.mailboxes.add("sms_package", Mailbox(outbox, inbox))
    services = sms_package_pb2.DESCRIPTOR.services_by_name
    host.server.add(
        add_SmsPackageServiceServicer_to_server, OrderServicer(orders, payments), services["SmsPackageService"]
    )
    host.server.add(
        add_SmsPackageJobServiceServicer_to_server,
        OrderJobServicer(Grants(database), cancelling),
        services["SmsPackageJobService"],
    )
