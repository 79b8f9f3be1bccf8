"""Proto in, one call, proto out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brandmesh.sms.v1 import sms_pb2 as pb
from brandmesh.sms.v1.sms_pb2_grpc import SmsDispatchServiceServicer, SmsServiceServicer
from mesh.batch_method import BatchMethod, copy
from mesh.pages import PageRequest
from mesh.timestamps import to_ms, to_timestamp
from sms_rpc.acceptance import SendRequest
from sms_rpc.dispatching import Claimed, Dispatching, Submission
from sms_rpc.domain import USEFUL_SECONDS, Outcome, Record, RecordStatus, SmsType, Task, timeline
from sms_rpc.messages import BlockedPhone, Messages
from sms_rpc.receipts import Receipt, Receipts, ReceiptVerdict, RecordedReceipt
from sms_rpc.sending import Accepted, Sending
from sms_rpc.sweeping import Sweeping
from sms_rpc.template import PLACE
from sms_rpc.uplinks import Uplink, Uplinks

Context = Any
"""grpc.aio's context, which no method here reads."""


class SmsServicer(SmsServiceServicer):
    """What apps and other services call."""

    def __init__(self, sending: Sending, messages: Messages) -> None:
        self._messages = messages
        self._send = BatchMethod(self._send_all, copy, pb.BatchSendSmsResponse)
        self._sending = sending

    async def SendSms(self, request: pb.SendSmsRequest, context: Context) -> pb.SendSmsResponse:
        return await self._send.one(request)

    async def BatchSendSms(self, request: pb.BatchSendSmsRequest, context: Context) -> pb.BatchSendSmsResponse:
        return await self._send.many(request.requests)

    async def _send_all(self, requests: Sequence[pb.SendSmsRequest]) -> list[pb.SendSmsResponse | BaseException]:
        outcomes = await self._sending.send_all([_send_request(request) for request in requests])
        return [one if isinstance(one, BaseException) else pb.SendSmsResponse(**_accepted(one)) for one in outcomes]

    async def SendVariableSms(self, request: pb.SendVariableSmsRequest, context: Context) -> pb.SendVariableSmsResponse:
        (outcome,) = await self._sending.send_all([_variable_send_request(request)])
        if isinstance(outcome, BaseException):
            raise outcome
        return pb.SendVariableSmsResponse(**_accepted(outcome))

    async def GetSms(self, request: pb.GetSmsRequest, context: Context) -> pb.GetSmsResponse:
        record, task = await self._messages.get(request.brand_id, int(request.message_id))
        events = [
            pb.SmsEvent(status=_status(status), time=to_timestamp(at_ms))
            for status, at_ms in timeline(record, task.schedule_at_ms)
        ]
        return pb.GetSmsResponse(sms=_sms(record, task), timeline=events)

    async def ListSms(self, request: pb.ListSmsRequest, context: Context) -> pb.ListSmsResponse:
        status = RecordStatus(_short(pb.SmsStatus.Name(request.status))) if request.status else None
        page = await self._messages.list(
            request.brand_id,
            PageRequest.of(request.page_size, request.page_token),
            task_id=int(request.task_id or 0),
            phone=request.phone,
            status=status,
        )
        return pb.ListSmsResponse(
            messages=[_sms(record, task) for record, task in page.messages], next_page_token=page.next_page_token
        )

    async def CancelSms(self, request: pb.CancelSmsRequest, context: Context) -> pb.CancelSmsResponse:
        record, task = await self._messages.cancel(request.brand_id, int(request.message_id))
        return pb.CancelSmsResponse(sms=_sms(record, task))

    async def CancelSmsTask(self, request: pb.CancelSmsTaskRequest, context: Context) -> pb.CancelSmsTaskResponse:
        count = await self._messages.cancel_task(request.brand_id, int(request.task_id))
        return pb.CancelSmsTaskResponse(cancelled_count=count)

    async def PutSmsBrand(self, request: pb.PutSmsBrandRequest, context: Context) -> pb.PutSmsBrandResponse:
        await self._messages.put_brand(request.brand_id, international=request.international)
        return pb.PutSmsBrandResponse(brand_id=request.brand_id, international=request.international)

    async def BlockPhone(self, request: pb.BlockPhoneRequest, context: Context) -> pb.BlockPhoneResponse:
        blocked = await self._messages.block_phone(request.brand_id, request.phone, request.reason)
        return pb.BlockPhoneResponse(blocked_phone=_blocked(blocked))

    async def UnblockPhone(self, request: pb.UnblockPhoneRequest, context: Context) -> pb.UnblockPhoneResponse:
        await self._messages.unblock_phone(request.brand_id, request.phone)
        return pb.UnblockPhoneResponse()

    async def ListBlockedPhones(
        self, request: pb.ListBlockedPhonesRequest, context: Context
    ) -> pb.ListBlockedPhonesResponse:
        page = await self._messages.list_blocked(
            request.brand_id, PageRequest.of(request.page_size, request.page_token)
        )
        return pb.ListBlockedPhonesResponse(
            blocked_phones=[_blocked(one) for one in page.phones], next_page_token=page.next_page_token
        )


class SmsDispatchServicer(SmsDispatchServiceServicer):
    """What sms_rmq calls."""

    def __init__(self, dispatching: Dispatching, receipts: Receipts, uplinks: Uplinks, sweeping: Sweeping) -> None:
        self._dispatching = dispatching
        self._receipts = receipts
        self._uplinks = uplinks
        self._sweeping = sweeping

    async def ClaimDispatches(self, request: pb.ClaimDispatchesRequest, context: Context) -> pb.ClaimDispatchesResponse:
        claimed, now_ms = await self._dispatching.claim(request.dispatch_ids, request.consumer, request.lease_seconds)
        dispatches = [_dispatch(one) for one in claimed]
        return pb.ClaimDispatchesResponse(dispatches=dispatches, claim_time=to_timestamp(now_ms))

    async def RecordCharges(self, request: pb.RecordChargesRequest, context: Context) -> pb.RecordChargesResponse:
        charges = {charge.dispatch_id: charge.payment_id for charge in request.charges}
        held = await self._dispatching.record_charges(charges, request.consumer, request.lease_seconds)
        return pb.RecordChargesResponse(dispatch_ids=held)

    async def RecordSubmissions(
        self, request: pb.RecordSubmissionsRequest, context: Context
    ) -> pb.RecordSubmissionsResponse:
        await self._dispatching.record_submissions([_submission(one) for one in request.submissions], request.consumer)
        return pb.RecordSubmissionsResponse()

    async def FinishDispatches(
        self, request: pb.FinishDispatchesRequest, context: Context
    ) -> pb.FinishDispatchesResponse:
        await self._dispatching.finish(request.dispatch_ids)
        return pb.FinishDispatchesResponse()

    async def RecordReceipts(self, request: pb.RecordReceiptsRequest, context: Context) -> pb.RecordReceiptsResponse:
        recorded = await self._receipts.record_all([_receipt(one) for one in request.receipts])
        return pb.RecordReceiptsResponse(receipts=[_recorded(one) for one in recorded])

    async def RecordUplinks(self, request: pb.RecordUplinksRequest, context: Context) -> pb.RecordUplinksResponse:
        blocked = await self._uplinks.record_all([_uplink(one) for one in request.uplinks])
        return pb.RecordUplinksResponse(blocked_count=blocked)

    async def SweepDispatches(self, request: pb.SweepDispatchesRequest, context: Context) -> pb.SweepDispatchesResponse:
        swept = await self._sweeping.sweep(request.dispatches_max)
        return pb.SweepDispatchesResponse(
            published_count=swept.published, unknown_count=swept.unknown, settled_count=swept.settled
        )


def _short(name: str) -> str:
    """Drop the prefix that the enum's values share: SMS_TYPE_VERIFICATION becomes VERIFICATION."""
    for prefix in ("SMS_TYPE_", "SMS_STATUS_", "DISPATCH_OUTCOME_", "RECEIPT_VERDICT_"):
        name = name.removeprefix(prefix)
    return name


def _status(status: RecordStatus) -> pb.SmsStatus.ValueType:
    return pb.SmsStatus.Value(f"SMS_STATUS_{status}")


def _send_request(request: pb.SendSmsRequest) -> SendRequest:
    return SendRequest(
        brand_id=request.brand_id,
        request_id=request.request_id,
        sms_type=SmsType(_short(pb.SmsType.Name(request.type))),
        content=request.content,
        signature=request.signature,
        phones=list(request.phones),
        params=(),
        variable=False,
        schedule_at_ms=_schedule_at_ms(request),
    )


def _variable_send_request(request: pb.SendVariableSmsRequest) -> SendRequest:
    return SendRequest(
        brand_id=request.brand_id,
        request_id=request.request_id,
        sms_type=SmsType(_short(pb.SmsType.Name(request.type))),
        content=request.content,
        signature=request.signature,
        phones=[recipient.phone for recipient in request.recipients],
        params=[list(recipient.params) for recipient in request.recipients],
        variable=True,
        schedule_at_ms=_schedule_at_ms(request),
    )


def _schedule_at_ms(request: pb.SendSmsRequest | pb.SendVariableSmsRequest) -> int:
    """Read when to send; 0 is now. The first moment of 1970 is as past as the one after it."""
    return (to_ms(request.schedule_time) or 1) if request.HasField("schedule_time") else 0


def _accepted(accepted: Accepted) -> dict[str, Any]:
    """Lay out what both send rpcs answer."""
    task = accepted.task
    return {
        "task_id": str(task.task_id),
        "messages": [
            pb.CreatedSms(message_id=str(record.record_id), phone=record.phone, status=_status(record.status))
            for record in accepted.records
        ],
        "accepted_count": task.accepted_count,
        "blocked_count": task.blocked_count,
        "frozen": task.frozen,
        "freeze_id": task.freeze_id,
    }


def _sms(record: Record, task: Task) -> pb.Sms:
    return pb.Sms(
        message_id=str(record.record_id),
        task_id=str(record.task_id),
        type=pb.SmsType.Value(f"SMS_TYPE_{task.sms_type}"),
        phone=record.phone,
        text=_text(record, task),
        segments=record.segments,
        status=_status(record.status),
        failure_reason=record.failure_reason,
        provider_code=record.provider_code,
        provider_message_id=record.provider_message_id,
        payment_id=record.payment_id,
        schedule_time=to_timestamp(task.schedule_at_ms),
        create_time=to_timestamp(record.accepted_at_ms),
    )


def _text(record: Record, task: Task) -> str:
    """Show a text as the handset does. It was checked before it was stored, so the values fit their places."""
    pieces = task.content.split(PLACE) if task.variable else [task.content]
    filled = "".join(piece + value for piece, value in zip(pieces, (*record.params, ""), strict=True))
    return f"【{task.signature}】{filled}"


def _blocked(blocked: BlockedPhone) -> pb.BlockedPhone:
    return pb.BlockedPhone(phone=blocked.phone, reason=blocked.reason, create_time=to_timestamp(blocked.created_at_ms))


def _dispatch(claimed: Claimed) -> pb.Dispatch:
    row, task = claimed.row, claimed.task
    return pb.Dispatch(
        dispatch_id=row.dispatch_id,
        brand_id=row.brand_id,
        type=pb.SmsType.Value(f"SMS_TYPE_{row.sms_type}"),
        mode=pb.SmsMode.Value(f"SMS_MODE_{row.mode}"),
        stage=pb.DISPATCH_STAGE_REPORT if claimed.is_report else pb.DISPATCH_STAGE_SEND,
        content=task.content,
        signature=task.signature,
        variable=task.variable,
        freeze_id=task.freeze_id,
        freeze_request_id=task.freeze_request_id,
        recipients=[
            pb.DispatchRecipient(
                message_id=record.record_id, phone=record.phone, params=record.params, segments=record.segments
            )
            for record in claimed.records
        ],
        attempt=claimed.attempt,
        expire_time=to_timestamp(row.wanted_at_ms + USEFUL_SECONDS[task.sms_type] * 1000),
        payment_id=row.payment_id,
        outcome=pb.DispatchOutcome.Value(f"DISPATCH_OUTCOME_{row.outcome or 'UNSPECIFIED'}"),
    )


def _submission(submission: pb.DispatchSubmission) -> Submission:
    return Submission(
        submission.dispatch_id,
        Outcome(_short(pb.DispatchOutcome.Name(submission.outcome))),
        submission.provider_message_id,
        submission.reason,
        submission.provider_code,
        submission.retry_after_seconds,
    )


def _receipt(receipt: pb.SmsReceipt) -> Receipt:
    verdict = ReceiptVerdict(_short(pb.ReceiptVerdict.Name(receipt.verdict)))
    return Receipt(receipt.dispatch_id, receipt.phone, verdict, receipt.provider_code)


def _recorded(recorded: RecordedReceipt) -> pb.RecordedReceipt:
    record = recorded.record
    if record is None:
        return pb.RecordedReceipt()
    return pb.RecordedReceipt(
        settled=recorded.settled,
        retry=recorded.retry,
        brand_id=record.brand_id,
        message_id=record.record_id,
        payment_id=record.payment_id,
        segments=record.segments,
        delivered=recorded.delivered,
    )


def _uplink(uplink: pb.SmsUplink) -> Uplink:
    parts = uplink.part_group, uplink.part_number, uplink.part_count
    return Uplink(uplink.phone, uplink.content, uplink.destination, uplink.sent_at, *parts)
