"""Proto in, one call, proto out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterJobServiceServicer, CostCenterServiceServicer
from costcenter_rpc.domain import (
    Account,
    Answer,
    Balance,
    Entry,
    Freeze,
    FreezeState,
    Grant,
    Lot,
    Operation,
    Pay,
    PrePay,
    Release,
    ReportReceipt,
    ReportStatus,
    SendStatus,
)
from costcenter_rpc.jobs import JobOperation, Jobs
from costcenter_rpc.ledger import Ledger
from costcenter_rpc.service import CostCenter
from mesh.batch_method import BatchMethod, HandleAll
from mesh.pages import PageRequest
from mesh.timestamps import to_ms, to_timestamp

Request = TypeVar("Request", bound=Message)
Context = Any
"""grpc.aio's context, which no method here reads."""


class CostCenterServicer(CostCenterServiceServicer):
    """What apps and other services call."""

    def __init__(self, cost_center: CostCenter, ledger: Ledger, jobs: Jobs) -> None:
        self._cost_center = cost_center
        self._ledger = ledger
        self._prepay = BatchMethod(_by_ledger(ledger, _prepay), _write_prepay, pb.BatchSmsSendPrePayResponse)
        self._pay = BatchMethod(_by_ledger(ledger, _pay), _write_pay, pb.BatchSmsSendPayResponse)
        self._release = BatchMethod(_by_job(jobs, _release), _write_release, pb.BatchSmsReleaseFreezeNumResponse)
        self._status = BatchMethod(_by_ledger(ledger, _status), _write_status, pb.BatchSmsSendStatusCallBackResponse)
        self._receipt = BatchMethod(_by_job(jobs, _receipt), _write_receipt, pb.BatchSmsReceiptStatusCallBackResponse)

    async def OpenSmsAccount(self, request: pb.OpenSmsAccountRequest, context: Context) -> pb.OpenSmsAccountResponse:
        account = await self._cost_center.open_account(request.brand_id)
        return pb.OpenSmsAccountResponse(balance=_balance(account))

    async def GrantSmsPackage(self, request: pb.GrantSmsPackageRequest, context: Context) -> pb.GrantSmsPackageResponse:
        answer = await self._ledger.apply(
            Grant(request.brand_id, request.request_id, request.num, to_ms(request.expire_time), request.reference)
        )
        return pb.GrantSmsPackageResponse(lot_id=answer.object_id, balance=_balance(answer.balance))

    async def SmsSendPrePay(self, request: pb.SmsSendPrePayRequest, context: Context) -> pb.SmsSendPrePayResponse:
        return await self._prepay.one(request)

    async def BatchSmsSendPrePay(
        self, request: pb.BatchSmsSendPrePayRequest, context: Context
    ) -> pb.BatchSmsSendPrePayResponse:
        return await self._prepay.many(request.requests)

    async def SmsSendPay(self, request: pb.SmsSendPayRequest, context: Context) -> pb.SmsSendPayResponse:
        return await self._pay.one(request)

    async def BatchSmsSendPay(self, request: pb.BatchSmsSendPayRequest, context: Context) -> pb.BatchSmsSendPayResponse:
        return await self._pay.many(request.requests)

    async def SmsReleaseFreezeNum(
        self, request: pb.SmsReleaseFreezeNumRequest, context: Context
    ) -> pb.SmsReleaseFreezeNumResponse:
        return await self._release.one(request)

    async def BatchSmsReleaseFreezeNum(
        self, request: pb.BatchSmsReleaseFreezeNumRequest, context: Context
    ) -> pb.BatchSmsReleaseFreezeNumResponse:
        return await self._release.many(request.requests)

    async def SmsSendStatusCallBack(
        self, request: pb.SmsSendStatusCallBackRequest, context: Context
    ) -> pb.SmsSendStatusCallBackResponse:
        return await self._status.one(request)

    async def BatchSmsSendStatusCallBack(
        self, request: pb.BatchSmsSendStatusCallBackRequest, context: Context
    ) -> pb.BatchSmsSendStatusCallBackResponse:
        return await self._status.many(request.requests)

    async def SmsReceiptStatusCallBack(
        self, request: pb.SmsReceiptStatusCallBackRequest, context: Context
    ) -> pb.SmsReceiptStatusCallBackResponse:
        return await self._receipt.one(request)

    async def BatchSmsReceiptStatusCallBack(
        self, request: pb.BatchSmsReceiptStatusCallBackRequest, context: Context
    ) -> pb.BatchSmsReceiptStatusCallBackResponse:
        return await self._receipt.many(request.requests)

    async def GetSmsAccount(self, request: pb.GetSmsAccountRequest, context: Context) -> pb.GetSmsAccountResponse:
        account = await self._cost_center.get_account(request.brand_id)
        return pb.GetSmsAccountResponse(
            brand_id=account.brand_id,
            available=account.available,
            frozen=account.frozen,
            spent=account.spent,
            expired=account.expired,
            granted=account.granted,
            seq=account.seq,
        )

    async def GetSmsFreeze(self, request: pb.GetSmsFreezeRequest, context: Context) -> pb.GetSmsFreezeResponse:
        return _freeze(await self._cost_center.get_freeze(request.brand_id, request.freeze_id))

    async def ListSmsLots(self, request: pb.ListSmsLotsRequest, context: Context) -> pb.ListSmsLotsResponse:
        page = await self._cost_center.list_lots(
            request.brand_id,
            PageRequest.of(request.page_size, request.page_token),
            show_exhausted=request.show_exhausted,
        )
        return pb.ListSmsLotsResponse(lots=[_lot(lot) for lot in page.lots], next_page_token=page.next_page_token)

    async def ListSmsEntries(self, request: pb.ListSmsEntriesRequest, context: Context) -> pb.ListSmsEntriesResponse:
        page = await self._cost_center.list_entries(
            request.brand_id, PageRequest.of(request.page_size, request.page_token)
        )
        return pb.ListSmsEntriesResponse(
            entries=[_entry(entry) for entry in page.entries], next_page_token=page.next_page_token
        )


class CostCenterJobServicer(CostCenterJobServiceServicer):
    """What costcenter_rmq calls."""

    def __init__(self, cost_center: CostCenter, jobs: Jobs) -> None:
        self._cost_center = cost_center
        self._jobs = jobs

    async def ApplyJobs(self, request: pb.ApplyJobsRequest, context: Context) -> pb.ApplyJobsResponse:
        outcomes = await self._jobs.apply(request.job_ids)
        return pb.ApplyJobsResponse(outcomes=[pb.JobOutcome.Value(f"JOB_OUTCOME_{outcome}") for outcome in outcomes])

    async def ReplayJobs(self, request: pb.ReplayJobsRequest, context: Context) -> pb.ReplayJobsResponse:
        backlog = await self._jobs.replay(request.older_than_seconds)
        return pb.ReplayJobsResponse(replayed=backlog.replayed, oldest_age_seconds=backlog.oldest_age_seconds)

    async def ExpireSmsLots(self, request: pb.ExpireSmsLotsRequest, context: Context) -> pb.ExpireSmsLotsResponse:
        return pb.ExpireSmsLotsResponse(accounts=await self._cost_center.expire_lots(request.accounts_max))

    async def ExpireSmsFreezes(
        self, request: pb.ExpireSmsFreezesRequest, context: Context
    ) -> pb.ExpireSmsFreezesResponse:
        return pb.ExpireSmsFreezesResponse(freezes=await self._cost_center.expire_freezes(request.freezes_max))


def _by_ledger(ledger: Ledger, read: Callable[[Request], Operation]) -> HandleAll[Request, Answer]:
    """Serve a Batch rpc by ledger operations."""

    async def handle_all(requests: Sequence[Request]) -> list[Answer | BaseException]:
        return await ledger.apply_all([read(request) for request in requests])

    return handle_all


def _by_job(jobs: Jobs, read: Callable[[Request], JobOperation]) -> HandleAll[Request, int]:
    """Serve a Batch rpc by stored jobs; the answers are their ids."""

    async def handle_all(requests: Sequence[Request]) -> list[int | BaseException]:
        return await jobs.store_all([read(request) for request in requests])

    return handle_all


def _prepay(request: pb.SmsSendPrePayRequest) -> PrePay:
    return PrePay(request.brand_id, request.request_id, request.num, to_ms(request.expire_time), request.reference)


def _write_prepay(answer: Answer, response: pb.SmsSendPrePayResponse) -> None:
    response.freeze_id = answer.object_id
    _write_balance(answer.balance, response.balance)


def _pay(request: pb.SmsSendPayRequest) -> Pay:
    return Pay(request.brand_id, request.request_id, request.freeze_id, request.num)


def _write_pay(answer: Answer, response: pb.SmsSendPayResponse) -> None:
    response.payment_id = answer.object_id
    response.charged = answer.num
    _write_balance(answer.balance, response.balance)


def _release(request: pb.SmsReleaseFreezeNumRequest) -> Release:
    return Release(request.brand_id, request.request_id, request.freeze_request_id, request.num)


def _write_release(job_id: int, response: pb.SmsReleaseFreezeNumResponse) -> None:
    response.job_id = job_id


def _status(request: pb.SmsSendStatusCallBackRequest) -> ReportStatus:
    status = SendStatus(pb.SmsSendStatus.Name(request.status).removeprefix("SMS_SEND_STATUS_"))
    return ReportStatus(
        request.brand_id, request.request_id, request.payment_id, status, request.message_id, request.num
    )


def _write_status(answer: Answer, response: pb.SmsSendStatusCallBackResponse) -> None:
    response.refunded = answer.num
    _write_balance(answer.balance, response.balance)


def _receipt(request: pb.SmsReceiptStatusCallBackRequest) -> ReportReceipt:
    return ReportReceipt(
        request.brand_id,
        request.request_id,
        request.payment_id,
        request.message_id,
        request.status == pb.SMS_RECEIPT_STATUS_DELIVERED,
        request.charged_num,
        request.billed_num,
    )


def _write_receipt(job_id: int, response: pb.SmsReceiptStatusCallBackResponse) -> None:
    response.job_id = job_id


def _balance(balance: Balance | Account) -> pb.SmsBalance:
    message = pb.SmsBalance()
    _write_balance(balance, message)
    return message


def _write_balance(balance: Balance | Account, message: pb.SmsBalance) -> None:
    message.available = balance.available
    message.frozen = balance.frozen
    message.spent = balance.spent
    message.expired = balance.expired
    message.granted = balance.granted
    message.seq = balance.seq


def _freeze(freeze: Freeze) -> pb.GetSmsFreezeResponse:
    return pb.GetSmsFreezeResponse(
        freeze_id=freeze.freeze_id,
        request_id=freeze.request_id,
        state=pb.SmsFreezeState.Value(f"SMS_FREEZE_STATE_{freeze.state}"),
        num=freeze.num,
        captured=freeze.captured,
        released=freeze.num - freeze.captured if freeze.state is FreezeState.EXPIRED else freeze.released,
        create_time=to_timestamp(freeze.created_at_ms),
        expire_time=to_timestamp(freeze.expires_at_ms),
    )


def _lot(lot: Lot) -> pb.SmsLot:
    return pb.SmsLot(
        lot_id=lot.lot_id,
        granted=lot.granted,
        remaining=lot.remaining,
        expire_time=to_timestamp(lot.expires_at_ms),
        create_time=to_timestamp(lot.created_at_ms),
        grace=lot.grace,
        reference=lot.reference,
    )


def _entry(entry: Entry) -> pb.SmsEntry:
    return pb.SmsEntry(
        seq=entry.seq,
        kind=pb.SmsEntryKind.Value(f"SMS_ENTRY_KIND_{entry.kind}"),
        request_id=entry.request_id,
        available_delta=entry.available,
        frozen_delta=entry.frozen,
        spent_delta=entry.spent,
        expired_delta=entry.expired,
        granted_delta=entry.granted,
        create_time=to_timestamp(entry.created_at_ms),
    )
