"""What the payment service knows before its news has come: asked before something is ended for not being paid."""

from __future__ import annotations

from collections.abc import Iterable

from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import PaymentServiceStub
from mesh import telemetry
from mesh.channel import Peer
from mesh.errors import DomainError
from mesh.timestamps import to_ms

NEWS_MS_MAX = 60_000
"""How much longer something waits each time that its payment is found paid and the news of that has not come."""

log = telemetry.logger()


class PaidPayments:
    """Asks after the payments of one business."""

    def __init__(self, peer: Peer, business: str) -> None:
        self._peer = peer
        self._stub = PaymentServiceStub(peer.channel)
        self._business = business

    async def find(self, business_ids: Iterable[int]) -> dict[int, int]:
        """Answer those that are paid, each with when, in milliseconds of Unix time.

        Raises what the payment service does when it is away: what is not known to be unpaid is not to be ended.
        """
        paid = {}
        for business_id in business_ids:
            payment = await self._get(business_id)
            if payment.status == payment_pb2.PAYMENT_STATUS_PAID:
                paid[business_id] = to_ms(payment.pay_time)
                log.warning("paid, and the news of it has not come", business=self._business, business_id=business_id)
        return paid

    async def _get(self, business_id: int) -> payment_pb2.Payment:
        """Read a payment; an empty one where there is none."""
        request = payment_pb2.GetPaymentRequest(business=self._business, business_id=str(business_id))
        try:
            response: payment_pb2.GetPaymentResponse = await self._peer.call(self._stub.GetPayment, request)
        except DomainError as error:
            if error.reason == "PAYMENT_NOT_FOUND":
                return payment_pb2.Payment()
            raise
        return response.payment
