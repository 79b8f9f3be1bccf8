"""The payment service in this service's words."""

from __future__ import annotations

from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import PaymentServiceStub
from mesh.channel import Peer
from mesh.errors import DomainError, invalid_field
from order_rpc.wallet import refusals
from order_rpc.wallet.domain import Recharge

BUSINESS = "wallet"
"""What the payment service calls us."""

_SUBJECT = "余额充值"


class Payments:
    """The payments of recharges."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = PaymentServiceStub(peer.channel)

    async def open(self, recharge: Recharge) -> str:
        """Open the payment of a recharge, which has one, and answer where to pay.

        Raises INVALID_REQUEST for a channel that is not known: then nothing was opened. Raises RECHARGE_EXPIRED when
        the payment is closed, and PAYMENT_CHANNEL_UNAVAILABLE when it is not known what became of it.
        """
        request = payment_pb2.CreatePaymentRequest(
            business=BUSINESS,
            business_id=str(recharge.recharge_id),
            brand_id=recharge.brand_id,
            pay_amount_fen=recharge.amount_fen,
            subject=_SUBJECT,
            channel=recharge.channel,
        )
        try:
            response = await self._peer.call(self._stub.CreatePayment, request)
        except DomainError as error:
            raise _in_our_words(error, recharge.recharge_id) from error
        return response.payment.pay_url


def _in_our_words(error: DomainError, recharge_id: int) -> DomainError:
    if error.reason == "PAYMENT_CHANNEL_UNKNOWN":
        return invalid_field("channel", error.message)
    if error.reason == "PAYMENT_CLOSED":
        return refusals.recharge_expired(recharge_id)
    return refusals.payment_channel_unavailable(is_tried_out=error.is_tried_out) if error.is_retryable else error
