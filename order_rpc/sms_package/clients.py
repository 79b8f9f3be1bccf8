"""The peers in this service's words. Each call may raise DomainError, and may be made again as it is."""

from __future__ import annotations

from dataclasses import dataclass

from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import PaymentServiceStub
from mesh.channel import Peer
from order_rpc.sms_package.domain import Order

BUSINESS = "sms_package"
"""Who we are to the payment service."""


@dataclass(frozen=True, slots=True)
class OpenedPayment:
    """The payment of an order, and where it is paid."""

    pay_id: int
    trade_no: str
    pay_url: str


class Payments:
    """The payment service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = PaymentServiceStub(peer.channel)

    async def open(self, order: Order) -> OpenedPayment:
        """Open the payment of an order, or answer the one that it has. Raises PAYMENT_CLOSED."""
        request = payment_pb2.CreatePaymentRequest(
            business=BUSINESS,
            business_id=str(order.order_id),
            brand_id=order.brand_id,
            pay_amount_fen=order.amount_fen,
            subject=f"{order.package.title} x {order.quantity}",
        )
        payment = (await self._peer.call(self._stub.CreatePayment, request)).payment
        return OpenedPayment(int(payment.pay_id), payment.trade_no, payment.pay_url)
