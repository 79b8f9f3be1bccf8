"""Proto in, one call, proto out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brandmesh.payment.v1 import payment_pb2 as pb
from brandmesh.payment.v1.payment_pb2_grpc import PaymentJobServiceServicer, PaymentServiceServicer
from mesh.pages import PageRequest
from mesh.timestamps import to_timestamp
from order_rpc.payment.channels.port import Notification
from order_rpc.payment.closing import Closing
from order_rpc.payment.differences import FoundDifference
from order_rpc.payment.domain import Business, Payment, Refund
from order_rpc.payment.reconciling import Reconciling
from order_rpc.payment.refunds import Refunds
from order_rpc.payment.service import NewPayment, Payments
from order_rpc.payment.wishes import RefundWish

Context = Any
"""grpc.aio's context, which no method here reads."""


class PaymentServicer(PaymentServiceServicer):
    """What other services of orders and the gateway's webhook call."""

    def __init__(self, payments: Payments, closing: Closing, refunds: Refunds, reconciling: Reconciling) -> None:
        self._payments = payments
        self._closing = closing
        self._refunds = refunds
        self._reconciling = reconciling

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.CreatePaymentResponse:
        business = Business(request.business, request.business_id)
        wanted = NewPayment(business, request.brand_id, request.pay_amount_fen, request.subject, request.channel)
        return pb.CreatePaymentResponse(payment=_payment(await self._payments.open(wanted)))

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.GetPaymentResponse:
        found = await self._payments.get(Business(request.business, request.business_id))
        return pb.GetPaymentResponse(payment=_payment(*found))

    async def QueryPayment(self, request: pb.QueryPaymentRequest, context: Context) -> pb.QueryPaymentResponse:
        found = await self._payments.query(Business(request.business, request.business_id))
        return pb.QueryPaymentResponse(payment=_payment(*found))

    async def ClosePayment(self, request: pb.ClosePaymentRequest, context: Context) -> pb.ClosePaymentResponse:
        payment = await self._closing.close(Business(request.business, request.business_id))
        return pb.ClosePaymentResponse(payment=_payment(payment) if payment else None)

    async def RefundPayment(self, request: pb.RefundPaymentRequest, context: Context) -> pb.RefundPaymentResponse:
        business = Business(request.business, request.business_id)
        wish = RefundWish(business, request.request_id, request.amount_fen, request.remark)
        return pb.RefundPaymentResponse(refund=_refund(await self._refunds.want(wish)))

    async def PaymentNotify(self, request: pb.PaymentNotifyRequest, context: Context) -> pb.PaymentNotifyResponse:
        notification = Notification(request.fields, request.headers, request.body)
        payment = await self._payments.notify(request.channel, notification)
        return pb.PaymentNotifyResponse(payment=_payment(payment))

    async def ListPaymentDifferences(
        self, request: pb.ListPaymentDifferencesRequest, context: Context
    ) -> pb.ListPaymentDifferencesResponse:
        page = await self._reconciling.list(request.date, PageRequest.of(request.page_size, request.page_token))
        return pb.ListPaymentDifferencesResponse(
            differences=[_difference(one) for one in page.differences],
            next_page_token=page.next_page_token,
            reconciled_channels=page.reconciled_channels,
        )


class PaymentJobServicer(PaymentJobServiceServicer):
    """What order_rmq calls."""

    def __init__(self, closing: Closing, refunds: Refunds, reconciling: Reconciling) -> None:
        self._closing = closing
        self._refunds = refunds
        self._reconciling = reconciling

    async def MakeRefunds(self, request: pb.MakeRefundsRequest, context: Context) -> pb.MakeRefundsResponse:
        return pb.MakeRefundsResponse(made_count=await self._refunds.make_due(request.refunds_max))

    async def ClosePayments(self, request: pb.ClosePaymentsRequest, context: Context) -> pb.ClosePaymentsResponse:
        return pb.ClosePaymentsResponse(closed_count=await self._closing.close_due(request.payments_max))

    async def ReconcilePayments(
        self, request: pb.ReconcilePaymentsRequest, context: Context
    ) -> pb.ReconcilePaymentsResponse:
        result = await self._reconciling.reconcile(request.date)
        return pb.ReconcilePaymentsResponse(
            date=result.day.isoformat(),
            compared_count=result.compared_count,
            difference_count=result.difference_count,
        )


def _payment(payment: Payment, refunds: Sequence[Refund] = ()) -> pb.Payment:
    return pb.Payment(
        pay_id=str(payment.pay_id),
        business=payment.business.name,
        business_id=payment.business.business_id,
        channel=payment.channel,
        status=pb.PaymentStatus.Value(f"PAYMENT_STATUS_{payment.status}"),
        pay_amount_fen=payment.pay_amount_fen,
        refunded_fen=payment.refunded_fen,
        trade_no=payment.trade_no,
        pay_url=payment.pay_url,
        pay_time=to_timestamp(payment.pay_time_ms),
        refunds=[_refund(refund) for refund in refunds],
    )


def _refund(refund: Refund) -> pb.Refund:
    return pb.Refund(
        refund_id=str(refund.refund_id),
        status=pb.RefundStatus.Value(f"REFUND_STATUS_{refund.status}"),
        amount_fen=refund.amount_fen,
        remark=refund.remark,
        refund_time=to_timestamp(refund.refund_time_ms),
    )


def _difference(found: FoundDifference) -> pb.PaymentDifference:
    return pb.PaymentDifference(
        date=found.day.isoformat(),
        channel=found.channel,
        kind=found.difference.kind.value,
        pay_id=found.difference.number,
        ours=found.difference.ours,
        theirs=found.difference.theirs,
    )
