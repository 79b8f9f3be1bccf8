"""The payment service and the sandbox's channels, real, over a real database."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from brandmesh.payment.v1 import payment_pb2 as pb
from brandmesh.payment.v1.payment_pb2_grpc import PaymentJobServiceStub, PaymentServiceStub
from order_rpc.payment import tables
from order_rpc.payment.comparison import CHINA, last_settled_day
from tests.order.payment.channel import Webhook, notification, pay_at, running_channels
from tests.order.payment.keys import channel_keys
from tests.order.running import Running, running
from tests.sandbox.harness import MERCHANT, PAYMENT_SECRET, Sandbox

BRAND = 7
AMOUNT_FEN = 4_500
CHANNELS = ("sandbox", "wechat")


@dataclass
class Desk:
    """Everything that being paid takes."""

    running: Running
    sandbox: Sandbox
    webhook: Webhook
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        channel = self.running.peer.channel
        self.payments = PaymentServiceStub(channel)
        self.jobs = PaymentJobServiceStub(channel)
        self.messages = MessageServiceStub(channel)

    async def call(self, method: Any, request: Any) -> Any:
        return await self.running.peer.call(method, request)

    # A business.

    async def create(self, business_id: str = "", **changes: Any) -> pb.Payment:
        request = {
            "business": "order",
            "business_id": business_id or f"b{next(self.numbers)}",
            "brand_id": BRAND,
            "pay_amount_fen": AMOUNT_FEN,
            "subject": "水饺 x 2",
            **changes,
        }
        response: pb.CreatePaymentResponse = await self.call(
            self.payments.CreatePayment, pb.CreatePaymentRequest(**request)
        )
        return response.payment

    async def paid(self, **changes: Any) -> pb.Payment:
        """A payment that was opened and paid on the channel's page, and heard of."""
        payment = await self.create(**changes)
        await self.pay(payment)
        await self.query(payment)
        return await self.get(payment)

    async def get(self, payment: pb.Payment) -> pb.Payment:
        request = pb.GetPaymentRequest(business=payment.business, business_id=payment.business_id)
        response: pb.GetPaymentResponse = await self.call(self.payments.GetPayment, request)
        return response.payment

    async def query(self, payment: pb.Payment) -> pb.Payment:
        request = pb.QueryPaymentRequest(business=payment.business, business_id=payment.business_id)
        response: pb.QueryPaymentResponse = await self.call(self.payments.QueryPayment, request)
        return response.payment

    async def close(self, business_id: str, business: str = "order") -> pb.ClosePaymentResponse:
        request = pb.ClosePaymentRequest(business=business, business_id=business_id)
        response: pb.ClosePaymentResponse = await self.call(self.payments.ClosePayment, request)
        return response

    async def refund(
        self, payment: pb.Payment, amount_fen: int, request_id: str = "", remark: str = "not wanted"
    ) -> pb.Refund:
        request = pb.RefundPaymentRequest(
            business=payment.business,
            business_id=payment.business_id,
            request_id=request_id or f"r{next(self.numbers)}",
            amount_fen=amount_fen,
            remark=remark,
        )
        response: pb.RefundPaymentResponse = await self.call(self.payments.RefundPayment, request)
        return response.refund

    # The channels.

    async def pay(self, payment: pb.Payment) -> None:
        """Pay on the channel's page; the channel then notifies."""
        await pay_at(self.sandbox, payment.pay_url)

    async def notify(self, fields: Mapping[str, str], channel: str = "") -> pb.Payment:
        """Take a notification past the webhook."""
        request = pb.PaymentNotifyRequest(channel=channel, fields=fields)
        response: pb.PaymentNotifyResponse = await self.call(self.payments.PaymentNotify, request)
        return response.payment

    async def notify_paid(self, payment: pb.Payment, **changes: str) -> pb.Payment:
        return await self.notify(told(payment, **changes))

    async def at_the_channel(self, channel: str = "sandbox") -> dict[str, Any]:
        """What the channel counts."""
        return await self.sandbox.stats({"sandbox": "payment", "wechat": "wechatpay"}[channel])

    # order_rmq.

    async def make_refunds(self, refunds_max: int = 100) -> int:
        response: pb.MakeRefundsResponse = await self.call(
            self.jobs.MakeRefunds, pb.MakeRefundsRequest(refunds_max=refunds_max)
        )
        return response.made_count

    async def close_payments(self, payments_max: int = 100) -> int:
        response: pb.ClosePaymentsResponse = await self.call(
            self.jobs.ClosePayments, pb.ClosePaymentsRequest(payments_max=payments_max)
        )
        return response.closed_count

    async def reconcile(self, date: str = "") -> pb.ReconcilePaymentsResponse:
        response: pb.ReconcilePaymentsResponse = await self.call(
            self.jobs.ReconcilePayments, pb.ReconcilePaymentsRequest(date=date)
        )
        return response

    async def differences(self, date: str = "", **page: Any) -> pb.ListPaymentDifferencesResponse:
        request = pb.ListPaymentDifferencesRequest(date=date or last_day().isoformat(), **page)
        response: pb.ListPaymentDifferencesResponse = await self.call(self.payments.ListPaymentDifferences, request)
        return response

    async def tell(self, tag: str, *messages: tuple[str, Mapping[str, Any]], first_id: int = 0) -> list[str]:
        """Hand over messages of a business, each as (key, body); answer what became of them."""
        request = messaging_pb2.ConsumeMessagesRequest(
            service="payment",
            messages=[
                messaging_pb2.Message(
                    msg_id=first_id + place if first_id else next(self.numbers),
                    producer="order",
                    msg_topic="payment",
                    msg_tag=tag,
                    msg_key=key,
                    msg_body=json.dumps(body),
                )
                for place, (key, body) in enumerate(messages)
            ],
        )
        response = await self.call(self.messages.ConsumeMessages, request)
        return [
            messaging_pb2.ConsumedStatus.Name(result.status).removeprefix("CONSUMED_STATUS_")
            for result in response.results
        ]

    async def told(self, tag: str) -> list[tuple[str, str, dict[str, Any]]]:
        """What businesses are told, as (business, business_id, body)."""
        return [
            (row["group_name"], row["msg_key"], json.loads(row["msg_body"]))
            for row in await self.running.rows(tables.produced_message)
            if row["msg_tag"] == tag
        ]

    # What nobody but a test does.

    async def everything(self) -> Mapping[str, object]:
        names = (tables.payment, tables.refund, tables.produced_message)
        return {table.name: await self.running.rows(table) for table in names}

    async def let_pauses_pass(self) -> None:
        """Let everything that is put off be due again."""
        for table, column in ((tables.payment, "close_due_at_ms"), (tables.refund, "due_at_ms")):
            await self.running.execute(sa.update(table).where(table.c[column] > 0).values({column: 1}))


def told(payment: pb.Payment, **changes: str) -> dict[str, str]:
    """What the first channel would post of a payment."""
    return notification(payment.pay_id, payment.pay_amount_fen, payment.trade_no or "1", **changes)


def last_day() -> date:
    """The last day that can be compared: yesterday, and the day before in the first half hour of a day."""
    return last_settled_day(time.time_ns() // 1_000_000)


def days_since_last_day() -> int:
    return (datetime.now(UTC).astimezone(CHINA).date() - last_day()).days


@asynccontextmanager
async def running_desk(directory: Path, *services: str, **changes: Any) -> AsyncIterator[Desk]:
    """Start the payment service with both channels; `changes` are settings of order_rpc."""
    async with AsyncExitStack() as stack:
        sandbox, webhook = await stack.enter_async_context(running_channels())
        settings = {
            "payment_channel_url": sandbox.url,
            "payment_merchant_id": MERCHANT,
            "payment_secret": PAYMENT_SECRET,
            "payment_channel_wechat": channel_keys(sandbox.url, f"{webhook.url}/wechat"),
            **changes,
        }
        process = await stack.enter_async_context(running(directory, "payment", *services, **settings))
        webhook.peer = process.peer
        yield Desk(process, sandbox, webhook)
