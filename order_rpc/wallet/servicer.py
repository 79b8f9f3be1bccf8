"""Proto in, one call, proto out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brandmesh.wallet.v1 import wallet_pb2 as pb
from brandmesh.wallet.v1.wallet_pb2_grpc import WalletJobServiceServicer, WalletServiceServicer
from mesh.batch_method import BatchMethod, copy
from mesh.errors import invalid_field
from mesh.money import to_fen, to_yuan
from mesh.pages import PageRequest
from mesh.timestamps import to_timestamp
from order_rpc.plain_text import read_name
from order_rpc.wallet.domain import Answer, MoneyLog, Recharge, TakeCoins, Wallet
from order_rpc.wallet.ledger import Ledger
from order_rpc.wallet.recharges import RechargeRequest, Recharges
from order_rpc.wallet.service import Wallets

Context = Any
"""grpc.aio's context, which no method here reads."""


class WalletServicer(WalletServiceServicer):
    """What apps, orders and flash sales call."""

    def __init__(self, wallets: Wallets, ledger: Ledger, recharges: Recharges) -> None:
        self._wallets = wallets
        self._ledger = ledger
        self._recharges = recharges
        self._debit = BatchMethod(self._debit_all, copy, pb.BatchDebitWalletResponse)

    async def GetWallet(self, request: pb.GetWalletRequest, context: Context) -> pb.GetWalletResponse:
        wallet = await self._wallets.get(int(request.user_id), request.brand_id)
        return pb.GetWalletResponse(wallet=_wallet(wallet))

    async def ListMoneyLogs(self, request: pb.ListMoneyLogsRequest, context: Context) -> pb.ListMoneyLogsResponse:
        page = await self._wallets.list_logs(
            int(request.user_id), request.brand_id, PageRequest.of(request.page_size, request.page_token)
        )
        return pb.ListMoneyLogsResponse(
            money_logs=[_log(log) for log in page.logs], next_page_token=page.next_page_token
        )

    async def CreateRecharge(self, request: pb.CreateRechargeRequest, context: Context) -> pb.CreateRechargeResponse:
        amount_fen = to_fen(request.amount, "amount")
        if not amount_fen:
            raise invalid_field("amount", "must be more than 0")
        recharge = await self._recharges.create(
            RechargeRequest(
                int(request.user_id),
                request.brand_id,
                request.request_id,
                amount_fen,
                read_name(request.channel, "channel"),
            )
        )
        return pb.CreateRechargeResponse(recharge=_recharge(recharge))

    async def GetRecharge(self, request: pb.GetRechargeRequest, context: Context) -> pb.GetRechargeResponse:
        recharge = await self._recharges.get(int(request.user_id), request.brand_id, int(request.recharge_id))
        return pb.GetRechargeResponse(recharge=_recharge(recharge))

    async def DebitWallet(self, request: pb.DebitWalletRequest, context: Context) -> pb.DebitWalletResponse:
        return await self._debit.one(request)

    async def BatchDebitWallet(
        self, request: pb.BatchDebitWalletRequest, context: Context
    ) -> pb.BatchDebitWalletResponse:
        return await self._debit.many(request.requests)

    async def _debit_all(
        self, requests: Sequence[pb.DebitWalletRequest]
    ) -> Sequence[pb.DebitWalletResponse | BaseException]:
        wanted = [TakeCoins(one.user_id, one.brand_id, one.order_id, one.amount_fen) for one in requests]
        return [
            pb.DebitWalletResponse(balance_fen=answer.user_money_fen) if isinstance(answer, Answer) else answer
            for answer in await self._ledger.take_all(wanted)
        ]


class WalletJobServicer(WalletJobServiceServicer):
    """What order_rmq calls."""

    def __init__(self, recharges: Recharges) -> None:
        self._recharges = recharges

    async def ExpireRecharges(self, request: pb.ExpireRechargesRequest, context: Context) -> pb.ExpireRechargesResponse:
        return pb.ExpireRechargesResponse(expired_count=await self._recharges.expire_due(request.recharges_max))


def _wallet(wallet: Wallet) -> pb.Wallet:
    return pb.Wallet(user_id=str(wallet.user_id), user_money=to_yuan(wallet.user_money_fen), seq=wallet.seq)


def _log(log: MoneyLog) -> pb.MoneyLog:
    return pb.MoneyLog(
        seq=log.seq,
        money_log_type=pb.MoneyLogType.Value(f"MONEY_LOG_TYPE_{log.money_log_type.name}"),
        order_id=str(log.order_id),
        use_money=to_yuan(log.use_money_fen),
        user_money=to_yuan(log.user_money_fen),
        create_time=to_timestamp(log.create_time_ms),
    )


def _recharge(recharge: Recharge) -> pb.Recharge:
    return pb.Recharge(
        recharge_id=str(recharge.recharge_id),
        user_id=str(recharge.user_id),
        status=pb.RechargeStatus.Value(f"RECHARGE_STATUS_{recharge.status.name}"),
        amount=to_yuan(recharge.amount_fen),
        pay_url=recharge.pay_url,
        create_time=to_timestamp(recharge.create_time_ms),
        expire_time=to_timestamp(recharge.expire_time_ms),
        pay_time=to_timestamp(recharge.pay_time_ms),
    )
