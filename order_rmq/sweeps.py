"""What services of orders have done by the clock: what a message should have started and did not, and what runs out.

Each sweep is one call of one service, which does a bounded part of what is due and answers how much that was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from brandmesh.flashsale.v1 import flash_sale_pb2
from brandmesh.flashsale.v1.flash_sale_pb2_grpc import FlashSaleJobServiceStub
from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from brandmesh.order.v1 import order_pb2
from brandmesh.order.v1.order_pb2_grpc import OrderJobServiceStub
from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import PaymentJobServiceStub
from brandmesh.smspackage.v1 import sms_package_pb2
from brandmesh.smspackage.v1.sms_package_pb2_grpc import SmsPackageJobServiceStub
from brandmesh.wallet.v1 import wallet_pb2
from brandmesh.wallet.v1.wallet_pb2_grpc import WalletJobServiceStub
from mesh.channel import Peer
from mesh.periodic import Periodic
from order_rmq.peers import OrderPeers
from order_rmq.settings import Service

TIMEOUT_SECONDS = 60.0
STATEMENTS_TIMEOUT_SECONDS = 600.0
"""Statements of all channels, and a day's payments."""

RECONCILE_EVERY = 12
"""Periods from one look at whether a day is to be compared to the next. One that is done costs a read."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One call by the clock: `job` names it in logs and metrics. `every` is its period in those of the settings."""

    job: str
    method: Callable[[grpc.aio.Channel], Any]
    request: Message
    every: int = 1
    timeout_seconds: float = TIMEOUT_SECONDS

    def periodic(self, peer: Peer, every_seconds: float) -> Periodic:
        """Make it run."""
        method = self.method(peer.channel)
        job = f"{self.job} ({peer.name})"
        return Periodic(job, lambda: peer.call(method, self.request, self.timeout_seconds), every_seconds * self.every)


OF_SERVICES: Sequence[tuple[Service, Sweep]] = (
    (
        "sms_package",
        Sweep(
            "cancel overdue orders",
            lambda channel: SmsPackageJobServiceStub(channel).CancelOverdueOrders,
            sms_package_pb2.CancelOverdueOrdersRequest(orders_max=200),
        ),
    ),
    (
        "order",
        Sweep(
            "cancel overdue orders",
            lambda channel: OrderJobServiceStub(channel).CancelOverdueOrders,
            order_pb2.CancelOverdueOrdersRequest(orders_max=200),
        ),
    ),
    (
        "wallet",
        Sweep(
            "expire recharges",
            lambda channel: WalletJobServiceStub(channel).ExpireRecharges,
            wallet_pb2.ExpireRechargesRequest(recharges_max=500),
        ),
    ),
    (
        "flash_sale",
        Sweep(
            "repair flash sales",
            lambda channel: FlashSaleJobServiceStub(channel).RepairAdmissions,
            flash_sale_pb2.RepairAdmissionsRequest(flash_sales_max=200),
        ),
    ),
    (
        "flash_sale",
        Sweep(
            "cancel overdue attempts",
            lambda channel: FlashSaleJobServiceStub(channel).CancelOverdueAttempts,
            flash_sale_pb2.CancelOverdueAttemptsRequest(attempts_max=500),
        ),
    ),
    (
        "payment",
        Sweep(
            "make refunds",
            lambda channel: PaymentJobServiceStub(channel).MakeRefunds,
            payment_pb2.MakeRefundsRequest(refunds_max=200),
        ),
    ),
    (
        "payment",
        Sweep(
            "close payments",
            lambda channel: PaymentJobServiceStub(channel).ClosePayments,
            payment_pb2.ClosePaymentsRequest(payments_max=200),
        ),
    ),
    (
        "payment",
        Sweep(
            "reconcile payments",
            lambda channel: PaymentJobServiceStub(channel).ReconcilePayments,
            payment_pb2.ReconcilePaymentsRequest(),
            every=RECONCILE_EVERY,
            timeout_seconds=STATEMENTS_TIMEOUT_SECONDS,
        ),
    ),
)

OF_PROCESSES: Sequence[Sweep] = (
    Sweep(
        "publish messages",
        lambda channel: MessageServiceStub(channel).PublishMessages,
        messaging_pb2.PublishMessagesRequest(messages_max=1000),
    ),
    Sweep(
        "forget messages",
        lambda channel: MessageServiceStub(channel).ForgetMessages,
        messaging_pb2.ForgetMessagesRequest(rows_max=5000),
    ),
)
"""Those that a process does for all services that it has."""


def sweeps(peers: OrderPeers, every_seconds: float) -> list[Periodic]:
    """All of them that there is a service for, ready to run."""
    there = [(peers.of(service), sweep) for service, sweep in OF_SERVICES if peers.has(service)]
    of_services = [sweep.periodic(peer, every_seconds) for peer, sweep in there]
    return of_services + [sweep.periodic(peer, every_seconds) for peer in peers.all() for sweep in OF_PROCESSES]
