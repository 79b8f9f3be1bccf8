"""The wallet service, real, over a real database, and a payment service that a test tells what to answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import sqlalchemy as sa

from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import PaymentServiceServicer, add_PaymentServiceServicer_to_server
from brandmesh.wallet.v1 import wallet_pb2 as pb
from brandmesh.wallet.v1.wallet_pb2_grpc import WalletJobServiceStub, WalletServiceStub
from mesh.errors import DomainError
from mesh.server import Server
from mesh.settings import RpcSettings
from order_rpc.wallet import tables
from order_rpc.wallet.audit_rows import audit
from tests.order.running import Running, running

BRAND = 7
OTHER_BRAND = 8
USER = 1
OTHER_USER = 2
SELLER = 3

ENDED_AT_MS = 1_000
"""When the time of a recharge is over that was run out."""

SUCCEEDED = messaging_pb2.CONSUMED_STATUS_SUCCEEDED
PROCESSING = messaging_pb2.CONSUMED_STATUS_PROCESSING
FAILED = messaging_pb2.CONSUMED_STATUS_FAILED


class PaymentDesk(PaymentServiceServicer):
    """A payment service that opens what it is asked to, and answers a repeat with what it opened. Nobody pays at it."""

    def __init__(self) -> None:
        self.opened: dict[str, payment_pb2.CreatePaymentRequest] = {}
        self.place = "https://pay.example"
        self.refusal: DomainError | None = None
        self.before_answer: Any = None

    async def CreatePayment(  # noqa: N802  # the contract's name
        self,
        request: payment_pb2.CreatePaymentRequest,
        context: Any,  # noqa: ARG002  # gRPC hands it in
    ) -> payment_pb2.CreatePaymentResponse:
        if self.refusal is not None:
            raise self.refusal
        self.opened.setdefault(request.business_id, request)
        if self.before_answer is not None:
            await self.before_answer()
        return payment_pb2.CreatePaymentResponse(
            payment=payment_pb2.Payment(pay_url=f"{self.place}/{request.business_id}")
        )

    async def GetPayment(  # noqa: N802  # the contract's name
        self,
        request: payment_pb2.GetPaymentRequest,
        context: Any,  # noqa: ARG002  # gRPC hands it in
    ) -> payment_pb2.GetPaymentResponse:
        if self.refusal is not None:
            raise self.refusal
        if request.business_id not in self.opened:
            raise payment_refusal("PAYMENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        return payment_pb2.GetPaymentResponse(payment=payment_pb2.Payment(status=payment_pb2.PAYMENT_STATUS_PENDING))


@dataclass
class Till:
    """What wallets are reached by."""

    running: Running
    desk: PaymentDesk
    message_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        channel = self.running.peer.channel
        self.wallets = WalletServiceStub(channel)
        self.jobs = WalletJobServiceStub(channel)
        self.messages = MessageServiceStub(channel)

    async def call(self, method: Any, request: Any) -> Any:
        return await self.running.peer.call(method, request)

    # Orders and flash sales.

    async def debit(self, order_id: int, amount_fen: int, *, user_id: int = USER, brand_id: int = BRAND) -> int:
        """Take coins; answer what is left."""
        request = debit_request(order_id, amount_fen, user_id=user_id, brand_id=brand_id)
        return int((await self.call(self.wallets.DebitWallet, request)).balance_fen)

    async def debit_many(self, *requests: pb.DebitWalletRequest) -> Sequence[pb.DebitWalletResult]:
        request = pb.BatchDebitWalletRequest(requests=requests)
        response: pb.BatchDebitWalletResponse = await self.call(self.wallets.BatchDebitWallet, request)
        return response.results

    async def tell(self, *messages: messaging_pb2.Message) -> list[messaging_pb2.ConsumeResult]:
        """Give messages to the wallet service, as order_rmq does."""
        request = messaging_pb2.ConsumeMessagesRequest(service="wallet", messages=messages)
        return list((await self.call(self.messages.ConsumeMessages, request)).results)

    def message(self, topic: str, tag: str, key: object, **body: object) -> messaging_pb2.Message:
        """Write a message that nobody has heard yet."""
        return messaging_pb2.Message(
            producer=topic,
            msg_id=next(self.message_ids),
            msg_topic=topic,
            msg_tag=tag,
            msg_key=str(key),
            msg_body=json.dumps(body),
        )

    def cancelled(self, order_id: int) -> messaging_pb2.Message:
        return self.message("order", "cancelled", order_id)

    def refunded(
        self, order_id: int, amount_fen: int, request_id: str = "refund-1", **changes: object
    ) -> messaging_pb2.Message:
        body = {"request_id": request_id, "user_id": USER, "brand_id": BRAND, "amount_fen": amount_fen} | changes
        return self.message("order", "refunded", order_id, **body)

    def received(
        self, order_id: int, amount_fen: int, seller_id: int = SELLER, brand_id: int = BRAND
    ) -> messaging_pb2.Message:
        body = {"seller_id": seller_id, "brand_id": brand_id, "amount_fen": amount_fen}
        return self.message("order", "received", order_id, **body)

    def paid(self, recharge: pb.Recharge, amount_fen: int, paid_at_ms: int = 1) -> messaging_pb2.Message:
        body = {"pay_id": "1", "amount_fen": amount_fen, "paid_at_ms": paid_at_ms}
        return self.message("payment", "paid", recharge.recharge_id, **body)

    async def fund(self, amount_fen: int, *, user_id: int = USER, brand_id: int = BRAND) -> None:
        """Give coins, as for a sale."""
        order_id = 900_000 + next(self.message_ids)
        (result,) = await self.tell(self.received(order_id, amount_fen, user_id, brand_id))
        assert result.status == SUCCEEDED, result

    # Users.

    async def wallet(self, user_id: int = USER, brand_id: int = BRAND) -> pb.Wallet:
        request = pb.GetWalletRequest(brand_id=brand_id, user_id=str(user_id))
        wallet: pb.Wallet = (await self.call(self.wallets.GetWallet, request)).wallet
        return wallet

    async def balance(self, user_id: int = USER, brand_id: int = BRAND) -> str:
        return (await self.wallet(user_id, brand_id)).user_money

    async def logs(self, user_id: int = USER, brand_id: int = BRAND, **page: Any) -> pb.ListMoneyLogsResponse:
        request = pb.ListMoneyLogsRequest(brand_id=brand_id, user_id=str(user_id), **page)
        response: pb.ListMoneyLogsResponse = await self.call(self.wallets.ListMoneyLogs, request)
        return response

    async def recharge(self, amount: str = "50", **changes: Any) -> pb.Recharge:
        values: dict[str, Any] = {
            "brand_id": BRAND,
            "user_id": str(USER),
            "request_id": self.running.next_id(),
        } | changes
        request = pb.CreateRechargeRequest(amount=amount, **values)
        recharge: pb.Recharge = (await self.call(self.wallets.CreateRecharge, request)).recharge
        return recharge

    async def get_recharge(self, recharge_id: str, user_id: int = USER, brand_id: int = BRAND) -> pb.Recharge:
        request = pb.GetRechargeRequest(brand_id=brand_id, user_id=str(user_id), recharge_id=recharge_id)
        recharge: pb.Recharge = (await self.call(self.wallets.GetRecharge, request)).recharge
        return recharge

    # What nobody but a test does.

    async def expire_due(self, recharges_max: int = 100) -> int:
        request = pb.ExpireRechargesRequest(recharges_max=recharges_max)
        return int((await self.call(self.jobs.ExpireRecharges, request)).expired_count)

    async def run_out(self, *recharges: pb.Recharge, ended_at_ms: int = ENDED_AT_MS) -> None:
        """Let the time of recharges be over, for long if nothing is said."""
        ids = [int(one.recharge_id) for one in recharges]
        table = tables.recharge
        await self.running.execute(
            sa.update(table).where(table.c.recharge_id.in_(ids)).values(expire_time_ms=ended_at_ms)
        )

    async def written(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """Answer the messages that were written: to whom, what, of which, with which body."""
        return [
            (row["group_name"], f"{row['msg_topic']}.{row['msg_tag']}", row["msg_key"], json.loads(row["msg_body"]))
            for row in await self.running.rows(tables.produced_message)
        ]

    async def is_sound(self) -> None:
        """Fail when a wallet is not proven by its log."""
        assert [str(violation) for violation in await audit(self.running.database, 100)] == []


def debit_request(
    order_id: int, amount_fen: int, *, user_id: int = USER, brand_id: int = BRAND
) -> pb.DebitWalletRequest:
    return pb.DebitWalletRequest(brand_id=brand_id, user_id=user_id, order_id=order_id, amount_fen=amount_fen)


@asynccontextmanager
async def open_till(directory: Path, **changes: Any) -> AsyncIterator[Till]:
    """Serve wallets on an empty database, beside a payment service; every wallet is proven at the end."""
    async with serving_desk() as (desk, address), running(directory, "wallet", peer_payment=address, **changes) as one:
        till = Till(one, desk)
        yield till
        await till.is_sound()


@asynccontextmanager
async def serving_desk() -> AsyncIterator[tuple[PaymentDesk, str]]:
    """Serve a payment service; answer it and its address."""
    desk = PaymentDesk()  # type: ignore[abstract]  # recharges open payments and read them, and call nothing else
    server = Server(RpcSettings(database_url="unused", listen="127.0.0.1:0", drain_seconds=0.5))
    descriptor = payment_pb2.DESCRIPTOR.services_by_name["PaymentService"]
    server.add(add_PaymentServiceServicer_to_server, desk, descriptor)
    await server.start()
    yield desk, server.address
    await server.drain()


def payment_refusal(reason: str, code: grpc.StatusCode) -> DomainError:
    return DomainError(code, reason, "the desk refuses")
